#include "worker/train/step_graph.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <utility>

namespace ferrun::train {
namespace {

constexpr int64_t kNumbers = 3;  // of batch_numbers()

}  // namespace

StepGraph::StepGraph(const CudaPlugin& plugin, std::vector<at::Tensor> parameters, Passes passes, int64_t warm_up)
    : plugin_(plugin), parameters_(std::move(parameters)), passes_(std::move(passes)), warm_up_(warm_up) {}

const at::Tensor& StepGraph::run(const BatchTensors& batch, double weight) {
  if (!recorded()) make_places(batch);
  {
    const at::NoGradGuard no_grad;
    batch_.pixels.copy_(batch.pixels, /*non_blocking=*/true);
    batch_.targets.copy_(batch.targets, /*non_blocking=*/true);
    weight_.fill_(weight);
  }
  if (!recorded()) record();
  graph_->replay();
  // A step that was taken otherwise has left its own.
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].mutable_grad() = gradients_[i];
  return numbers_;
}

void StepGraph::make_places(const BatchTensors& batch) {
  const at::TensorOptions on_device(batch.pixels.device());
  batch_ = {at::empty_like(batch.pixels), at::empty_like(batch.targets)};
  weight_ = at::empty({}, on_device.dtype(at::kFloat));
  numbers_ = at::empty({kNumbers}, on_device.dtype(at::kDouble));
}

void StepGraph::record() {
  std::unique_ptr<DeviceGraph> graph = plugin_.record_graph([this] {
    const at::Tensor numbers = passes_(batch_, weight_);
    const at::NoGradGuard no_grad;
    numbers_.copy_(numbers);
  });
  gradients_.clear();
  for (const at::Tensor& parameter : parameters_) gradients_.push_back(parameter.grad());
  graph_ = std::move(graph);
}

}  // namespace ferrun::train
