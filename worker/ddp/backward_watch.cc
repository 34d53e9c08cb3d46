#include "worker/ddp/backward_watch.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/graph_task.h>

#include <mutex>
#include <stdexcept>
#include <utility>

#include "worker/ddp/autograd_node.h"

namespace ferrun::ddp {
namespace {

// Of torch::autograd::grad, which adds to no parameter, or of backward() towards some inputs alone.
bool is_partial_pass() {
  const auto* const wanted = torch::autograd::get_current_graph_task_exec_info();
  return wanted != nullptr && !wanted->empty();
}

}  // namespace

void WatchedReducer::reduce_if_none_is_used() {
  const std::lock_guard lock(mutex_);
  if (unused_parameters_.size() != params_.size() || std::exchange(has_marked_unused_parameters_, true)) return;
  for (const size_t parameter : unused_parameters_) mark_variable_ready(parameter);
}

class BackwardWatch::PassThrough : public torch::autograd::Node {
 public:
  explicit PassThrough(std::weak_ptr<BackwardWatch> watch) : watch_(std::move(watch)) {}
  std::string name() const override { return "PassThrough"; }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    if (const auto watch = watch_.lock();
        watch && !is_partial_pass() && !std::exchange(watch->first_reduction_is_delayed_, true)) {
      torch::autograd::Engine::get_default_engine().queue_callback([reducer = watch->reducer_] {
        if (const auto alive = reducer.lock()) alive->delay_all_reduce();
      });
    }
    return std::move(gradients);
  }

 private:
  std::weak_ptr<BackwardWatch> watch_;
};

void BackwardWatch::watch(const std::vector<at::Tensor*>& outputs) {
  bool sees_the_pass = false;
  for (const at::Tensor* output : outputs) {
    // A leaf is a parameter, or an input: it would keep the hook.
    if (!output->defined() || !output->requires_grad() || output->is_leaf()) continue;
    sees_the_pass = true;
    output->register_hook([weak = weak_from_this()](const at::Tensor&) {
      if (const auto alive = weak.lock()) alive->backward_came();
    });
  }
  is_due_ = sees_the_pass;
  if (!sees_the_pass) group_->note(gradients_);
}

void BackwardWatch::backward_came() {
  const auto reducer = reducer_.lock();
  if (!reducer || is_partial_pass()) return;
  if (reducer->waits()) {
    if (at::GradMode::is_enabled()) {
      throw std::runtime_error(
          "backward with create_graph: gradients that are averaged over ranks cannot be differentiated; take inner "
          "gradients by torch::autograd::grad, and call backward of the whole loss without create_graph");
    }
    if (std::exchange(is_due_, false)) group_->note(gradients_);
    reducer->reduce_if_none_is_used();
  } else if (synchronizing_) {
    throw std::runtime_error(
        "another backward pass since the last forward pass of DistributedDataParallel: its gradients would stay on the "
        "rank; call forward before each backward, or backward of the sum of the losses");
  }
}

void BackwardWatch::pass_through(const std::vector<at::Tensor*>& outputs) {
  torch::autograd::variable_list inputs;
  for (const at::Tensor* output : outputs) {
    if (output->defined() && output->requires_grad()) inputs.push_back(*output);
  }
  if (inputs.empty()) return;
  const auto node = make_node<PassThrough>(weak_from_this());
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  for (at::Tensor* output : outputs) {
    if (!output->defined() || !output->requires_grad()) continue;
    at::Tensor same = output->detach();
    torch::autograd::set_history(same, node);
    *output = same;
  }
}

}  // namespace ferrun::ddp
