// Data-parallel training of any LibTorch module, as torch.nn.parallel.DistributedDataParallel does it for Python:
//
//   auto group = ferrun::ddp::ProcessGroup::create(address, {}).value();
//   ferrun::ddp::DistributedDataParallel<Net> net(Net(10), group);
//   net.zero_grad();
//   loss(net.forward(inputs), targets).backward();   // gradients are averaged over the ranks when this returns
//   optimizer.step();
//
// Every rank must take the same number of steps, or join (see there). Thread rule: one thread.
#pragma once

#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "worker/ddp/gradient_reducer.h"
#include "worker/ddp/join.h"
#include "worker/ddp/process_group.h"
#include "worker/ddp/tensor_tree.h"

namespace ferrun::ddp {

// `Holder` is a TORCH_MODULE: anything whose `->` gives a torch::nn::Module with a forward method, of any inputs, that
// returns a tensor or tensors in tuples, vectors, maps or a struct of one's own (see visit_tensors). What c10d says of
// a parameter by its number, is thrown with its name, as std::runtime_error.
template <typename Holder>
class DistributedDataParallel {
 public:
  // Every rank continues with rank 0's weights and buffers.
  DistributedDataParallel(Holder module, std::shared_ptr<ProcessGroup> group, DdpOptions options = {})
      : module_(std::move(module)), reducer_(*module_, std::move(group), options) {}

  template <typename... Inputs>
  auto forward(Inputs&&... inputs) {
    reducer_.before_forward();
    auto output = call<Inputs...>(inputs...);
    std::vector<at::Tensor*> tensors;
    if (reducer_.wants_outputs()) visit_tensors(output, [&tensors](at::Tensor& tensor) { tensors.push_back(&tensor); });
    reducer_.before_backward(tensors);
    return output;
  }

  // Gradients of backward passes within this scope stay on the rank and add up; the first pass after it reduces the
  // sum. For an accumulation over micro batches:
  //
  //   const auto scope = net.no_sync(micro + 1 < micro_batches);   // of forward and backward
  class NoSync {
   public:
    NoSync(GradientReducer& reducer, bool on) : reducer_(reducer), before_(reducer.synchronizing()) {
      if (on) reducer_.set_synchronizing(false);
    }
    ~NoSync() { reducer_.set_synchronizing(before_); }
    NoSync(const NoSync&) = delete;
    NoSync& operator=(const NoSync&) = delete;

   private:
    GradientReducer& reducer_;
    bool before_;
  };
  [[nodiscard]] NoSync no_sync(bool on = true) { return NoSync(reducer_, on); }

  // For ranks with unequal numbers of inputs: Python's `with Join([net])`, see join.h.
  [[nodiscard]] Join join(const JoinOptions& options = {}) { return Join(reducer_, options); }

  // How gradients travel from now on, see comm_hooks.h. Once, before the first backward pass.
  void register_comm_hook(CommHook hook) { reducer_.register_comm_hook(std::move(hook)); }

  void zero_grad() { reducer_.zero_grad(); }
  // A step was recorded as a CUDA graph, forward and backward, and has been started again.
  void replayed() { reducer_.replayed(); }
  void broadcast_buffers() { reducer_.broadcast_buffers(); }

  Holder& module() { return module_; }

 private:
  template <typename... Inputs>
  auto call(std::remove_reference_t<Inputs>&... inputs) {
    if (const std::optional<c10::ScalarType> type = reducer_.input_type()) {
      std::tuple<CastInput<Inputs>...> cast(cast_floating<Inputs>(inputs, *type)...);
      return std::apply([this](auto&... tensors) { return module_->forward(static_cast<Inputs&&>(tensors)...); }, cast);
    }
    return module_->forward(std::forward<Inputs>(inputs)...);
  }

  Holder module_;
  GradientReducer reducer_;
};

}  // namespace ferrun::ddp
