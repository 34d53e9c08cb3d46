#include "worker/ddp/grad_scaler.h"

#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/optim/optimizer.h>

#include <map>

#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {

using checkpoint::Dict;
using checkpoint::Value;

GradScaler::GradScaler(at::Device device, GradScalerOptions options) : options_(options) {
  if (!options_.enabled) return;
  const auto on_device = at::TensorOptions(device);
  scale_ = at::full({}, options_.init_scale, on_device.dtype(at::kFloat));
  growth_tracker_ = at::zeros({}, on_device.dtype(at::kInt));
  found_inf_ = at::zeros({}, on_device.dtype(at::kFloat));
}

at::Tensor GradScaler::scale(const at::Tensor& loss) { return options_.enabled ? loss.mul(scale_) : loss; }

void GradScaler::unscale(const std::vector<at::Tensor>& parameters) {
  if (!options_.enabled) return;
  TORCH_CHECK(stage_ == Stage::kReady, "GradScaler::unscale was called twice, or after step");
  const c10::NoGradGuard no_grad;
  // The reciprocal by way of double, as PyTorch takes it: a float division could round otherwise.
  const at::Tensor inverse = scale_.to(at::kDouble).reciprocal().to(at::kFloat);
  found_inf_.zero_();
  std::map<at::ScalarType, std::vector<at::Tensor>> by_type;
  for (const at::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) by_type[parameter.grad().scalar_type()].push_back(parameter.grad());
  }
  for (auto& [type, gradients] : by_type) {
    TORCH_CHECK(type != at::kHalf, "GradScaler needs float gradients: keep the parameters in float32");
    at::_amp_foreach_non_finite_check_and_unscale_(gradients, found_inf_, inverse);
  }
  stage_ = Stage::kUnscaled;
}

void GradScaler::unscale(const torch::optim::Optimizer& optimizer) {
  std::vector<at::Tensor> parameters;
  for (const torch::optim::OptimizerParamGroup& group : optimizer.param_groups()) {
    parameters.insert(parameters.end(), group.params().begin(), group.params().end());
  }
  unscale(parameters);
}

template <typename AnyOptimizer>
void GradScaler::begin_step(const AnyOptimizer& optimizer) {
  TORCH_CHECK(stage_ != Stage::kStepped, "GradScaler::step was called twice without update");
  if (stage_ == Stage::kReady) unscale(optimizer);
  stage_ = Stage::kStepped;
}

void GradScaler::step(Optimizer& optimizer) {
  if (!options_.enabled) return optimizer.step();
  begin_step(optimizer);
  optimizer.step({}, found_inf_);
}

void GradScaler::step(torch::optim::Optimizer& optimizer) {
  if (options_.enabled) {
    begin_step(optimizer);
    if (skipped()) return;
  }
  optimizer.step();
}

bool GradScaler::skipped() const { return options_.enabled && found_inf_.item<float>() != 0.0f; }

void GradScaler::update() {
  if (!options_.enabled) return;
  TORCH_CHECK(stage_ != Stage::kReady, "GradScaler::update was called before unscale or step");
  const c10::NoGradGuard no_grad;
  at::_amp_update_scale_(scale_, growth_tracker_, found_inf_, options_.growth_factor, options_.backoff_factor,
                         options_.growth_interval);
  stage_ = Stage::kReady;
}

double GradScaler::scale_value() const { return options_.enabled ? scale_.item<float>() : 1.0; }

Value GradScaler::state_dict() const {
  if (!options_.enabled) return Dict{};
  return Dict{{"scale", scale_value()},
              {"growth_factor", options_.growth_factor},
              {"backoff_factor", options_.backoff_factor},
              {"growth_interval", options_.growth_interval},
              {"_growth_tracker", int64_t{growth_tracker_.item<int>()}}};
}

Status GradScaler::load_state_dict(const Value& state) {
  if (!options_.enabled) return ok_status();
  const auto scale = number(state, "scale"), growth = number(state, "growth_factor"),
             backoff = number(state, "backoff_factor");
  const auto interval = integer(state, "growth_interval"), tracker = integer(state, "_growth_tracker");
  if (!scale || !growth || !backoff || !interval || !tracker) {
    return Error{ErrorKind::kUser,
                 "the gradient scaler's state is incomplete: was the checkpoint made without --amp=fp16?"};
  }
  options_.growth_factor = *growth;
  options_.backoff_factor = *backoff;
  options_.growth_interval = *interval;
  scale_.fill_(*scale);
  growth_tracker_.fill_(*tracker);
  stage_ = Stage::kReady;
  return ok_status();
}

}  // namespace ferrun::ddp
