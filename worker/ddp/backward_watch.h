// What is behind the outputs of a forward pass whose gradients are to be reduced: notes that a reduction begins, and
// refuses backward passes whose gradients would stay on the rank.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <torch/csrc/distributed/c10d/reducer.hpp>
#include <vector>

#include "worker/ddp/collective_history.h"
#include "worker/ddp/process_group.h"

namespace ferrun::ddp {

// c10d's, which also says whether it waits for gradients, and reduces where none comes.
class WatchedReducer : public c10d::Reducer {
 public:
  using c10d::Reducer::Reducer;
  bool waits() const { return expect_autograd_hooks_; }
  // In a backward pass. c10d's looks for parameters that are not used when the first gradient comes; without any the
  // other ranks would wait for this one.
  void reduce_if_none_is_used();
};

// Thread rule: the network's; a backward pass on a GPU calls it from the engine's thread meanwhile.
class BackwardWatch : public std::enable_shared_from_this<BackwardWatch> {
 public:
  BackwardWatch(const std::shared_ptr<WatchedReducer>& reducer, std::shared_ptr<ProcessGroup> group,
                Collective gradients, bool static_graph)
      : reducer_(reducer),
        group_(std::move(group)),
        gradients_(std::move(gradients)),
        first_reduction_is_delayed_(!static_graph) {}

  // Some may be undefined, or need no gradient.
  void watch(const std::vector<at::Tensor*>& outputs);

  // Replaces outputs by equal ones, between which and the module's is one node of the graph: a loss of some of them
  // then reaches the parameters of all, of the others without a gradient. The first pass with a static graph reduces
  // at its end, when it is known which parameters it used.
  void pass_through(const std::vector<at::Tensor*>& outputs);

  // Whether the first reduction has come that is to be delayed.
  bool has_reduced() const { return first_reduction_is_delayed_; }

  void set_synchronizing(bool on) { synchronizing_ = on; }
  bool synchronizing() const { return synchronizing_; }

 private:
  class PassThrough;
  void backward_came();

  std::weak_ptr<WatchedReducer> reducer_;
  std::shared_ptr<ProcessGroup> group_;
  Collective gradients_;
  bool synchronizing_ = true;
  bool is_due_ = false;  // a reduction that nobody has noted yet
  bool first_reduction_is_delayed_;
};

}  // namespace ferrun::ddp
