#include "worker/ddp/grad_scaler.h"

#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/full.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/optim/optimizer.h>

#include <iterator>
#include <map>

#include "worker/ddp/named_optimizer_state.h"
#include "worker/ddp/state_fields.h"
#include "worker/ddp/unique_tensors.h"

namespace ferrun::ddp {

using checkpoint::Dict;
using checkpoint::Value;

GradScaler::GradScaler(at::Device device, GradScalerOptions options) : options_(options) {
  if (!options_.enabled) return;
  const auto on_device = at::TensorOptions(device);
  scale_ = at::full({}, options_.init_scale, on_device.dtype(at::kFloat));
  growth_tracker_ = at::zeros({}, on_device.dtype(at::kInt));
  last_found_inf_ = at::zeros({}, on_device.dtype(at::kFloat));
}

at::Tensor GradScaler::scale(const at::Tensor& loss) { return options_.enabled ? loss.mul(scale_) : loss; }

void GradScaler::unscale(const std::vector<at::Tensor>& parameters) {
  if (!options_.enabled) return;
  const c10::NoGradGuard no_grad;
  std::map<at::ScalarType, std::vector<at::Tensor>> by_type;
  const std::vector<at::Tensor> each = without_repeats(parameters);
  for (const at::Tensor& parameter : each) {
    TORCH_CHECK(unscaled_.count(parameter.unsafeGetTensorImpl()) == 0,
                "GradScaler::unscale was called twice for a parameter, or after step");
    if (!parameter.grad().defined()) continue;
    by_type[parameter.grad().scalar_type()].push_back(parameter.grad());
  }
  TORCH_CHECK(by_type.count(at::kHalf) == 0, "GradScaler needs float gradients: keep the parameters in float32");
  for (const at::Tensor& parameter : each) {
    unscaled_.emplace(parameter.unsafeGetTensorImpl(), found_inf_.size());
  }
  found_inf_.push_back(at::zeros_like(last_found_inf_));
  // The reciprocal by way of double, as PyTorch takes it: a float division could round otherwise.
  const at::Tensor inverse = scale_.to(at::kDouble).reciprocal().to(at::kFloat);
  for (auto& [type, gradients] : by_type) {
    at::_amp_foreach_non_finite_check_and_unscale_(gradients, found_inf_.back(), inverse);
  }
}

void GradScaler::unscale(const torch::optim::Optimizer& optimizer) { unscale(all_parameters(optimizer)); }

at::Tensor GradScaler::begin_step(const void* optimizer, const std::vector<at::Tensor>& parameters) {
  TORCH_CHECK(stepped_.count(optimizer) == 0, "GradScaler::step was called twice without update");
  std::set<size_t> calls;
  size_t with_gradient = 0, unscaled = 0;
  for (const at::Tensor& parameter : parameters) {
    if (!parameter.grad().defined()) continue;
    ++with_gradient;
    const auto found = unscaled_.find(parameter.unsafeGetTensorImpl());
    if (found == unscaled_.end()) continue;
    ++unscaled;
    calls.insert(found->second);
  }
  TORCH_CHECK(with_gradient > 0, "GradScaler::step: no parameter of the optimizer has a gradient");
  TORCH_CHECK(unscaled == 0 || unscaled == with_gradient,
              "GradScaler::unscale was called for some of the optimizer's parameters, not for all");
  if (unscaled == 0) {
    calls = {found_inf_.size()};
    unscale(parameters);
  }
  stepped_.insert(optimizer);
  const c10::NoGradGuard no_grad;
  last_found_inf_ = found_inf_[*calls.begin()];
  for (auto call = std::next(calls.begin()); call != calls.end(); ++call) {
    last_found_inf_ = at::maximum(last_found_inf_, found_inf_[*call]);
  }
  return last_found_inf_;
}

void GradScaler::step(Optimizer& optimizer) {
  if (!options_.enabled) return optimizer.step();
  optimizer.step({}, begin_step(&optimizer, optimizer.parameters()));
}

void GradScaler::step(torch::optim::Optimizer& optimizer) {
  if (options_.enabled) {
    begin_step(&optimizer, all_parameters(optimizer));
    if (skipped()) return;
  }
  optimizer.step();
}

bool GradScaler::skipped() const { return options_.enabled && last_found_inf_.item<float>() != 0.0f; }

void GradScaler::update() {
  if (!options_.enabled) return;
  TORCH_CHECK(!found_inf_.empty(), "GradScaler::update was called before unscale or step");
  const c10::NoGradGuard no_grad;
  at::Tensor any = found_inf_.front();
  for (size_t i = 1; i < found_inf_.size(); ++i) any = at::maximum(any, found_inf_[i]);
  at::_amp_update_scale_(scale_, growth_tracker_, any, options_.growth_factor, options_.backoff_factor,
                         options_.growth_interval);
  begin_iteration();
}

void GradScaler::begin_iteration() {
  found_inf_.clear();
  unscaled_.clear();
  stepped_.clear();
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
                 "the gradient scaler's state is incomplete: was it saved by a disabled one, or without --amp=fp16?"};
  }
  options_.growth_factor = *growth;
  options_.backoff_factor = *backoff;
  options_.growth_interval = *interval;
  scale_.fill_(*scale);
  growth_tracker_.fill_(*tracker);
  begin_iteration();
  return ok_status();
}

}  // namespace ferrun::ddp
