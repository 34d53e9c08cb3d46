#include "worker/ddp/adam.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <optional>

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Tuple;
using checkpoint::Value;

// The fused kernels walk raw memory and never look at strides: a gradient must lie in memory as its parameter does.
// Strides of dimensions with one element mean nothing.
bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  for (int64_t i = 0; i < a.dim(); ++i) {
    if (a.size(i) > 1 && a.stride(i) != b.stride(i)) return false;
  }
  return true;
}

at::Tensor copy_like(const at::Tensor& source, const at::Tensor& layout) {
  return at::empty_like(layout, layout.options().requires_grad(false)).copy_(source);
}

at::Tensor step_counter(double value, const at::Tensor& parameter) {
  return at::scalar_tensor(value, at::TensorOptions(at::kFloat).device(parameter.device()));
}

Error mismatch(const std::string& what) { return {ErrorKind::kUser, "the optimizer state does not fit: " + what}; }

std::optional<double> number(const Value* value) {
  if (value == nullptr) return std::nullopt;
  if (const double* real = value->get<double>()) return *real;
  if (const int64_t* integer = value->get<int64_t>()) return static_cast<double>(*integer);
  const at::Tensor* tensor = value->get<at::Tensor>();
  if (tensor != nullptr && tensor->numel() == 1) return tensor->to(at::kDouble).item<double>();
  return std::nullopt;
}

bool is_true(const Value* value) {
  const bool* flag = value == nullptr ? nullptr : value->get<bool>();
  return flag != nullptr && *flag;
}

const List* items(const Value* value) {
  if (value == nullptr) return nullptr;
  if (const Tuple* tuple = value->get<Tuple>()) return &tuple->items;
  return value->get<List>();
}

const char* name_of(bool decoupled) { return decoupled ? "AdamW" : "Adam"; }

// The hyperparameters of a param_group; those that it lacks stay as `options` has them, as in Python.
Result<AdamOptions> read_group(const Value& group, size_t parameters, AdamOptions options) {
  const List* indices = items(group.find("params"));
  if (indices == nullptr) return mismatch("its param_groups are damaged");
  if (indices->size() != parameters) {
    return mismatch("it is for " + std::to_string(indices->size()) + " parameters, the model has " +
                    std::to_string(parameters));
  }
  if (is_true(group.find("amsgrad")) || is_true(group.find("maximize"))) {
    return mismatch("it was made with amsgrad or maximize, which are not supported");
  }
  const Value* decoupled = group.find("decoupled_weight_decay");
  if (decoupled != nullptr && is_true(decoupled) != options.decoupled_weight_decay) {
    return mismatch(std::string("it is ") + name_of(is_true(decoupled)) + "'s, this run uses " +
                    name_of(options.decoupled_weight_decay) + " (see --optimizer)");
  }
  if (const List* betas = items(group.find("betas")); betas != nullptr && betas->size() == 2) {
    options.beta1 = number(&(*betas)[0]).value_or(options.beta1);
    options.beta2 = number(&(*betas)[1]).value_or(options.beta2);
  }
  options.lr = number(group.find("lr")).value_or(options.lr);
  options.eps = number(group.find("eps")).value_or(options.eps);
  options.weight_decay = number(group.find("weight_decay")).value_or(options.weight_decay);
  return options;
}

}  // namespace

Adam::Adam(std::vector<at::Tensor> parameters, AdamOptions options)
    : parameters_(std::move(parameters)), options_(options), states_(parameters_.size()) {}

void Adam::step(const at::Tensor& grad_scale, const at::Tensor& found_inf) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> parameters, gradients, exp_avgs, exp_avg_sqs, steps;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& parameter = parameters_[i];
    const at::Tensor& gradient = parameter.grad();
    if (!gradient.defined()) continue;
    State& state = states_[i];
    if (!state.step.defined()) {
      state = State{at::zeros_like(parameter), at::zeros_like(parameter), step_counter(0, parameter)};
    }
    parameters.push_back(parameter);
    gradients.push_back(same_layout(gradient, parameter) ? gradient : copy_like(gradient, parameter));
    exp_avgs.push_back(state.exp_avg);
    exp_avg_sqs.push_back(state.exp_avg_sq);
    steps.push_back(state.step);
  }
  if (parameters.empty()) return;
  const auto optional = [](const at::Tensor& t) { return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt; };
  at::_foreach_add_(steps, 1);
  if (options_.decoupled_weight_decay) {
    at::_fused_adamw_(parameters, gradients, exp_avgs, exp_avg_sqs, /*max_exp_avg_sqs=*/{}, steps, options_.lr,
                      options_.beta1, options_.beta2, options_.weight_decay, options_.eps, /*amsgrad=*/false,
                      /*maximize=*/false, optional(grad_scale), optional(found_inf));
  } else {
    at::_fused_adam_(parameters, gradients, exp_avgs, exp_avg_sqs, /*max_exp_avg_sqs=*/{}, steps, options_.lr,
                     options_.beta1, options_.beta2, options_.weight_decay, options_.eps, /*amsgrad=*/false,
                     /*maximize=*/false, optional(grad_scale), optional(found_inf));
  }
  if (found_inf.defined()) at::_foreach_sub_(steps, std::vector<at::Tensor>(steps.size(), found_inf));
}

void Adam::zero_grad(bool set_to_none) {
  const c10::NoGradGuard no_grad;
  for (at::Tensor& parameter : parameters_) {
    if (!parameter.grad().defined()) continue;
    if (set_to_none) {
      parameter.mutable_grad().reset();
    } else {
      parameter.mutable_grad().zero_();
    }
  }
}

Value Adam::state_dict(double initial_lr) const {
  Dict state;
  List indices;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    indices.push_back(static_cast<int64_t>(i));
    if (!states_[i].step.defined()) continue;
    state.emplace_back(
        static_cast<int64_t>(i),
        Dict{{"step", states_[i].step}, {"exp_avg", states_[i].exp_avg}, {"exp_avg_sq", states_[i].exp_avg_sq}});
  }
  Dict group{{"lr", options_.lr},
             {"betas", Tuple{{options_.beta1, options_.beta2}}},
             {"eps", options_.eps},
             {"weight_decay", options_.weight_decay},
             {"amsgrad", false},
             {"maximize", false},
             {"foreach", Value()},
             {"capturable", false},
             {"differentiable", false},
             {"fused", true},
             {"decoupled_weight_decay", options_.decoupled_weight_decay},
             {"initial_lr", initial_lr},
             {"params", indices}};
  return Dict{{"state", state}, {"param_groups", List{group}}};
}

Result<Adam::State> Adam::read_state(const Value& entry, size_t parameter) const {
  const at::Tensor& layout = parameters_[parameter];
  const std::string name = "parameter " + std::to_string(parameter);
  const auto step = number(entry.find("step"));
  if (!step) return mismatch(name + " has no step count");
  State state{{}, {}, step_counter(*step, layout)};
  for (auto [key, moment] : {std::pair{"exp_avg", &state.exp_avg}, {"exp_avg_sq", &state.exp_avg_sq}}) {
    const Value* value = entry.find(key);
    const at::Tensor* tensor = value == nullptr ? nullptr : value->get<at::Tensor>();
    if (tensor == nullptr) return mismatch(name + " has no " + key);
    if (tensor->sizes() != layout.sizes())
      return mismatch(name + "'s " + key + " has another shape than the parameter");
    *moment = copy_like(*tensor, layout);
  }
  return state;
}

Result<std::vector<Adam::State>> Adam::read_states(const Value& state) const {
  std::vector<State> states(parameters_.size());
  const Dict* entries = state.get<Dict>();
  if (entries == nullptr) return mismatch("it has no 'state'");
  for (const auto& [key, entry] : *entries) {
    const int64_t* index = key.get<int64_t>();
    if (index == nullptr || *index < 0 || *index >= static_cast<int64_t>(states.size())) {
      return mismatch("it has state for a parameter that is not there");
    }
    auto read = read_state(entry, static_cast<size_t>(*index));
    if (!read) return read.error();
    states[static_cast<size_t>(*index)] = std::move(*read);
  }
  return states;
}

Status Adam::load_state_dict(const Value& state) {
  const c10::NoGradGuard no_grad;
  const Value* state_by_parameter = state.find("state");
  const List* groups = items(state.find("param_groups"));
  if (state_by_parameter == nullptr || groups == nullptr) return mismatch("it is no optimizer's state_dict");
  if (groups->size() != 1) {
    return mismatch("it has " + std::to_string(groups->size()) + " parameter groups, this optimizer has one");
  }
  auto options = read_group(groups->front(), parameters_.size(), options_);
  if (!options) return options.error();
  auto states = read_states(*state_by_parameter);
  if (!states) return states.error();
  options_ = *options;
  states_ = std::move(*states);
  return ok_status();
}

}  // namespace ferrun::ddp
