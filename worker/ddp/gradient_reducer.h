// The part of DistributedDataParallel that does not depend on the module's type: c10d::Reducer and what belongs around
// it.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/ddp/comm_hooks.h"
#include "worker/ddp/mixed_precision.h"
#include "worker/ddp/model_check.h"
#include "worker/ddp/process_group.h"

namespace c10d {
class Logger;
class Reducer;
}  // namespace c10d

namespace ferrun::ddp {

class BackwardWatch;

struct DdpOptions {
  // Gradients are reduced in buckets of about this size while the backward pass goes on. Small ones suit a CPU, where
  // the reduction competes with the computation; the first is smaller so that the reduction starts early.
  int64_t first_bucket_bytes = 1 << 20;
  int64_t bucket_bytes = 4 << 20;
  // Set when some parameters get no gradient in some steps; costs a walk over the graph and a small all-reduce a step.
  bool find_unused_parameters = false;
  // The averaged gradients are parts of the buckets: they need not be copied back out. The next backward pass writes
  // over them: who keeps a gradient for longer keeps a clone(). Off where two DistributedDataParallel share parameters
  // and one backward pass goes through both.
  bool gradient_as_bucket_view = true;
  // Buffers (BatchNorm's running statistics) come from rank 0 before every forward pass, as in Python. A pass in train
  // mode does not read those: who calls broadcast_buffers() before each evaluation and save can do without, and gets
  // the same weights and the same buffers of rank 0.
  bool broadcast_buffers = true;
  // Every step uses the same parameters, each as often: parameters that are never used and reentrant graphs are
  // learnt in the first step, which does not overlap its reduction, and cost nothing later.
  bool static_graph = false;
  // For a group in which other ranks are Python's: lays the buckets out, rebuilds them after the first step and
  // broadcasts buffers exactly when Python's DDP does. The limits above must be the other ranks'; Python's own are
  // 1 MiB and 25 MiB. A resumed run's sums are then rounded as Python's would be, not as the undisturbed run's.
  bool as_python = false;
  // Between forward and the end of the backward pass parameters and gradients are of a short type, for the optimizer
  // they are their own. Adding up gradients under no_sync rounds the sum to the short type at each forward pass. Not
  // with find_unused_parameters, static_graph, a communication hook: std::invalid_argument.
  std::optional<MixedPrecision> mixed_precision = {};
};

// See DistributedDataParallel::join.
struct JoinOptions {
  // Gradients are divided by the number of all ranks; else by the number of those that still have inputs.
  bool divide_by_initial_world_size = true;
  // As soon as one rank has no more inputs, the step throws std::runtime_error on every rank.
  bool throw_on_early_termination = false;
};

// Keeps one bucket layout from the first step to the last, in reverse order of registration. Python's DDP rebuilds its
// buckets after the first step in the order in which gradients arrived; a run that resumes would then add its numbers
// in another order than the run it continues. Here both are equal, bit for bit.
class GradientReducer {
 public:
  // Checks that all ranks have the same parameters and gives every rank rank 0's parameters and buffers. The
  // parameters, their types, devices and whether they require gradients must be final: before_forward throws
  // std::runtime_error that names one which has changed. std::invalid_argument for a module without a parameter that
  // requires gradients; else as c10d does.
  GradientReducer(const torch::nn::Module& module, std::shared_ptr<ProcessGroup> group, const DdpOptions& options);
  ~GradientReducer();
  // A copy would reduce the same gradients twice. Not within a NoSync or Join, which refer to it.
  GradientReducer(GradientReducer&&) noexcept;
  GradientReducer& operator=(GradientReducer&&) noexcept;

  void before_forward();
  // What inputs of forward are cast to, if at all.
  std::optional<c10::ScalarType> input_type() const;
  // Whether before_backward looks at the outputs.
  bool wants_outputs() const;
  // `outputs`: the tensors that backward() will start from. With find_unused_parameters or static_graph they are
  // replaced by equal ones. backward() throws std::runtime_error where its gradients would stay on the rank: for a
  // second one since the last forward pass, and with create_graph.
  void before_backward(const std::vector<at::Tensor*>& outputs);

  // Once, before the first backward pass: std::invalid_argument for a second one. Without effect in a world of one,
  // where nothing travels.
  void register_comm_hook(CommHook hook);

  // Uneven inputs, see Join (join.h). All ranks call begin_join, then forward for each of their inputs, then shadow
  // until it is false, then end_join.
  void begin_join(const JoinOptions& options);
  // Takes part in a step of the ranks that have inputs, without any. False: there was none left.
  bool shadow();
  // Every rank goes on with the model of the last rank that had inputs.
  void end_join();

  // A reduction was started that had been recorded (CUDA graphs), by none of the calls above.
  void replayed();

  // While off, backward() accumulates into the rank's own gradients and nothing is reduced.
  void set_synchronizing(bool on);
  bool synchronizing() const { return synchronizing_; }

  // Drops the gradients. Not zeros in place: of large gradients the Reducer divides one that lies in its bucket by the
  // world size, but multiplies one that it copies there by the reciprocal. Since a process's first gradients are always
  // copied, a resumed run of three ranks would differ from an undisturbed one; dropped each time, all gradients are
  // treated alike. Nor would zeros be faster: the copy divides in the same pass, while a gradient in its bucket is
  // filled with zeros, added to and divided in a pass each.
  void zero_grad();

  // Rank 0's buffers to all ranks. Before an evaluation or a save, without a forward pass.
  void broadcast_buffers();

 private:
  // Which ranks have inputs in the step under way.
  struct Joining {
    JoinOptions options;
    int root = 0;                // the last of them, whose buffers count
    bool synchronizing = false;  // whether they reduce their gradients
  };

  void verify_and_broadcast_parameters(const torch::nn::Module& module);
  void build_reducer();
  void use_hook(CommHook hook);
  void prepare_reducer();
  std::vector<at::Tensor> buffers() const;
  std::vector<at::Tensor> all_states() const;
  void broadcast_states(const std::vector<at::Tensor>& states, int root);
  // Tells who has inputs, and learns it. False: nobody.
  bool announce(bool active);
  [[noreturn]] void rethrow_by_name(const std::exception& failure) const;

  std::shared_ptr<ProcessGroup> group_;
  DdpOptions options_;
  std::vector<at::Tensor> parameters_;  // those that require gradients
  std::vector<std::string> names_;      // theirs
  std::vector<bool> sparse_;            // whether their gradients are
  std::vector<at::Tensor> all_parameters_;
  std::vector<at::Tensor> buffers_;         // at first
  Collective gradients_;                    // what a backward pass reduces
  std::shared_ptr<c10d::Reducer> reducer_;  // null where the group is alone
  std::shared_ptr<BackwardWatch> watch_;    // and then neither
  std::optional<KnownParameters> known_;
  std::optional<LowPrecisionParameters> low_precision_;
  std::shared_ptr<c10d::Logger> logger_;  // the Reducer's, which does not own it
  std::shared_ptr<CommHook> hook_;        // what the Reducer's hook calls; null where it has none
  bool has_own_hook_ = false;             // register_comm_hook's
  std::shared_ptr<int64_t> divisor_ = std::make_shared<int64_t>(1);  // of the sums, where they are divided here
  bool synchronizing_ = true;
  bool buffers_are_due_ = true;              // with as_python
  bool first_pass_was_not_reduced_ = false;  // with static_graph
  std::optional<Joining> joining_;
};

}  // namespace ferrun::ddp
