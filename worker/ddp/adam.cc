#include "worker/ddp/adam.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Tuple;
using checkpoint::Value;

at::Tensor step_counter(double value, const at::Tensor& parameter) {
  return at::scalar_tensor(value, at::TensorOptions(at::kFloat).device(parameter.device()));
}

AdamOptions read_adam_group(const Value& group, AdamOptions options) {
  if (const List* betas = items(group.find("betas")); betas != nullptr && betas->size() == 2) {
    options.beta1 = number(&(*betas)[0]).value_or(options.beta1);
    options.beta2 = number(&(*betas)[1]).value_or(options.beta2);
  }
  options.lr = number(group, "lr").value_or(options.lr);
  options.eps = number(group, "eps").value_or(options.eps);
  options.weight_decay = number(group, "weight_decay").value_or(options.weight_decay);
  return options;
}

}  // namespace

Adam::Adam(const std::vector<AdamGroup>& groups, AdamOptions defaults) : defaults_(defaults) {
  TORCH_CHECK(!groups.empty(), name(), " needs a parameter group");
  for (const AdamGroup& group : groups) add_param_group(group);
}

void Adam::add_param_group(const AdamGroup& group) {
  add_parameters(group.parameters);
  states_.resize(parameters().size());
  options_.push_back({.lr = group.options.lr.value_or(defaults_.lr),
                      .beta1 = group.options.beta1.value_or(defaults_.beta1),
                      .beta2 = group.options.beta2.value_or(defaults_.beta2),
                      .eps = group.options.eps.value_or(defaults_.eps),
                      .weight_decay = group.options.weight_decay.value_or(defaults_.weight_decay),
                      .decoupled_weight_decay = defaults_.decoupled_weight_decay});
}

void Adam::apply(const Active& active, const std::optional<at::Tensor>& grad_scale,
                 const std::optional<at::Tensor>& found_inf) {
  const AdamOptions& options = options_[active.group];
  std::vector<at::Tensor> exp_avgs, exp_avg_sqs, steps;
  for (const size_t i : active.indices) {
    State& state = states_[i];
    if (!state.step.defined()) {
      const at::Tensor& parameter = parameters()[i];
      state = State{at::zeros_like(parameter), at::zeros_like(parameter), step_counter(0, parameter)};
    }
    exp_avgs.push_back(state.exp_avg);
    exp_avg_sqs.push_back(state.exp_avg_sq);
    steps.push_back(state.step);
  }
  at::_foreach_add_(steps, 1);
  if (options.decoupled_weight_decay) {
    at::_fused_adamw_(active.parameters, active.gradients, exp_avgs, exp_avg_sqs, /*max_exp_avg_sqs=*/{}, steps,
                      options.lr, options.beta1, options.beta2, options.weight_decay, options.eps,
                      /*amsgrad=*/false, /*maximize=*/false, grad_scale, found_inf);
  } else {
    at::_fused_adam_(active.parameters, active.gradients, exp_avgs, exp_avg_sqs, /*max_exp_avg_sqs=*/{}, steps,
                     options.lr, options.beta1, options.beta2, options.weight_decay, options.eps,
                     /*amsgrad=*/false, /*maximize=*/false, grad_scale, found_inf);
  }
  if (found_inf) at::_foreach_sub_(steps, std::vector<at::Tensor>(steps.size(), *found_inf));
}

Dict Adam::hyperparameters(size_t group) const {
  const AdamOptions& options = options_[group];
  return Dict{{"lr", options.lr},
              {"betas", Tuple{{options.beta1, options.beta2}}},
              {"eps", options.eps},
              {"weight_decay", options.weight_decay},
              {"amsgrad", false},
              {"maximize", false},
              {"foreach", Value()},
              {"capturable", false},
              {"differentiable", false},
              {"fused", true},
              {"decoupled_weight_decay", options.decoupled_weight_decay}};
}

Dict Adam::state_of(size_t parameter) const {
  const State& state = states_[parameter];
  if (!state.step.defined()) return {};
  return Dict{{"step", state.step}, {"exp_avg", state.exp_avg}, {"exp_avg_sq", state.exp_avg_sq}};
}

Result<Adam::State> Adam::read_state(const Value& entry, size_t parameter) const {
  const auto step = number(entry, "step");
  if (!step) return Error{ErrorKind::kUser, "parameter " + std::to_string(parameter) + " has no step count"};
  auto exp_avg = state_tensor(entry, "exp_avg", parameter, parameters()[parameter]);
  if (!exp_avg) return exp_avg.error();
  auto exp_avg_sq = state_tensor(entry, "exp_avg_sq", parameter, parameters()[parameter]);
  if (!exp_avg_sq) return exp_avg_sq.error();
  return State{std::move(*exp_avg), std::move(*exp_avg_sq), step_counter(*step, parameters()[parameter])};
}

Status Adam::load(const List& groups, const std::vector<const Value*>& entries) {
  std::vector<State> states(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i] == nullptr) continue;
    auto read = read_state(*entries[i], i);
    if (!read) return read.error();
    states[i] = std::move(*read);
  }
  for (size_t group = 0; group < groups.size(); ++group) {
    options_[group] = read_adam_group(groups[group], options_[group]);
  }
  states_ = std::move(states);
  return ok_status();
}

}  // namespace ferrun::ddp
