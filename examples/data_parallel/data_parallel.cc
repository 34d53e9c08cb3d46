#include "examples/data_parallel/data_parallel.h"

#include <ATen/Parallel.h>
#include <ATen/ThreadLocalState.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "worker/ddp/autograd_node.h"

namespace ferrun::examples {
namespace {

// Backwards: the gradients of a parameter's copies become the parameter's, in the order of the devices, so that equal
// steps give equal bits.
class SumOverReplicas : public torch::autograd::Node {
 public:
  explicit SumOverReplicas(c10::Device destination) : destination_(destination) {}
  std::string name() const override { return "SumOverReplicas"; }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    at::Tensor sum;
    for (const at::Tensor& gradient : gradients) {
      if (!gradient.defined()) continue;  // of a device without a part
      const at::Tensor here = gradient.to(destination_);
      sum = sum.defined() ? sum + here : here;
    }
    return {sum};
  }

 private:
  c10::Device destination_;
};

class Stopwatch {
 public:
  // Seconds since the last call.
  double lap() {
    const auto before = std::exchange(at_, std::chrono::steady_clock::now());
    return std::chrono::duration<double>(at_ - before).count();
  }

 private:
  std::chrono::steady_clock::time_point at_ = std::chrono::steady_clock::now();
};

void check_same(const std::vector<at::Tensor>& tensors, const std::vector<at::Tensor>& others, size_t replica) {
  const auto refuse = [replica](const std::string& why) {
    throw std::invalid_argument("replica " + std::to_string(replica) + " is not like the module: " + why);
  };
  if (tensors.size() != others.size()) {
    refuse(std::to_string(others.size()) + " parameters or buffers for " + std::to_string(tensors.size()));
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].sizes() != others[i].sizes() || tensors[i].dtype() != others[i].dtype()) {
      refuse("number " + std::to_string(i) + " has another shape or type");
    }
  }
}

}  // namespace

DataParallel::DataParallel(std::vector<Replica> replicas, int threads)
    : replicas_(std::move(replicas)), threads_(threads) {
  if (replicas_.empty()) throw std::invalid_argument("there is no replica");
  const torch::nn::Module& module = *replicas_.front().module;
  for (size_t i = 1; i < replicas_.size(); ++i) {
    check_same(module.parameters(), replicas_[i].module->parameters(), i);
    check_same(module.buffers(), replicas_[i].module->buffers(), i);
  }
}

at::Tensor DataParallel::forward(const at::Tensor& input) {
  Stopwatch watch;
  // Equal parts, the last one smaller, and fewer of them than devices where the batch has no more; as torch.chunk says.
  std::vector<at::Tensor> parts = input.chunk(static_cast<int64_t>(replicas_.size()), 0);
  for (size_t i = 0; i < parts.size(); ++i) parts[i] = parts[i].to(replicas_[i].device, /*non_blocking=*/true);
  times_.scatter = watch.lap();
  replicate(parts.size());
  times_.replicate = watch.lap();
  std::vector<at::Tensor> outputs = compute(parts);
  times_.compute = watch.lap();
  for (at::Tensor& output : outputs) output = output.to(replicas_.front().device);
  at::Tensor output = outputs.size() == 1 ? outputs.front() : at::cat(outputs, 0);
  times_.gather = watch.lap();
  return output;
}

void DataParallel::replicate(size_t count) {
  const torch::nn::Module& module = *replicas_.front().module;
  const std::vector<at::Tensor> kept = module.buffers();
  std::vector<std::vector<at::Tensor>> copies;
  for (size_t i = 1; i < count; ++i) {
    torch::nn::Module& replica = *replicas_[i].module;
    replica.train(module.is_training());
    copies.push_back(replica.parameters());
    const at::NoGradGuard no_grad;
    const std::vector<at::Tensor> buffers = replica.buffers();
    for (size_t k = 0; k < buffers.size(); ++k) buffers[k].copy_(kept[k], /*non_blocking=*/true);
  }
  const std::vector<at::Tensor> parameters = module.parameters();
  for (size_t k = 0; k < parameters.size(); ++k) {
    {
      const at::NoGradGuard no_grad;
      for (const auto& copy : copies) copy[k].copy_(parameters[k], /*non_blocking=*/true);
    }
    if (copies.empty() || !at::GradMode::is_enabled() || !parameters[k].requires_grad()) continue;
    const auto sum = ddp::make_node<SumOverReplicas>(parameters[k].device());
    sum->set_next_edges(torch::autograd::collect_next_edges(parameters[k]));
    for (const auto& copy : copies) torch::autograd::set_history(copy[k], sum);
  }
}

std::vector<at::Tensor> DataParallel::compute(const std::vector<at::Tensor>& parts) {
  std::vector<at::Tensor> outputs(parts.size());
  std::vector<std::exception_ptr> failures(parts.size());
  const auto run = [&](size_t i) {
    try {
      const c10::OptionalDeviceGuard on(replicas_[i].device);
      outputs[i] = replicas_[i].forward(parts[i]);
    } catch (...) {
      failures[i] = std::current_exception();
    }
  };
  const at::ThreadLocalState state;  // whether gradients are wanted, autocast, …
  std::vector<std::jthread> threads;
  for (size_t i = 1; i < parts.size(); ++i) {
    threads.emplace_back([&, i] {
      const at::ThreadLocalStateGuard same(state);
      if (threads_ > 0) at::set_num_threads(threads_);
      run(i);
    });
  }
  run(0);
  threads.clear();  // waits for them
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return outputs;
}

}  // namespace ferrun::examples
