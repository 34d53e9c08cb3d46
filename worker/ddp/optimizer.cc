#include "worker/ddp/optimizer.h"

#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <utility>

#include "worker/ddp/adam.h"
#include "worker/ddp/sgd.h"
#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

// Strides of dimensions with one element mean nothing.
bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  for (int64_t i = 0; i < a.dim(); ++i) {
    if (a.size(i) > 1 && a.stride(i) != b.stride(i)) return false;
  }
  return true;
}

at::Tensor laid_out_as(const at::Tensor& source, const at::Tensor& layout) {
  if (same_layout(source, layout)) return source;
  return at::empty_like(layout, layout.options().requires_grad(false)).copy_(source);
}

std::optional<at::Tensor> if_defined(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(tensor) : std::nullopt;
}

Error state_mismatch(const std::string& what) {
  return {ErrorKind::kUser, "the optimizer state does not fit: " + what};
}

std::string class_of(const std::string& name) { return name.substr(0, name.find(' ')); }

// Whether SGD has momentum is a hyperparameter, which the state brings with it. Before torch 2.7 Adam and AdamW wrote
// the same keys.
bool is_state_of(const std::string& name, const Value& group) {
  const std::string theirs = class_of(optimizer_of(group)), ours = class_of(name);
  return theirs == ours || (theirs == "Adam" && ours == "AdamW" && group.find("decoupled_weight_decay") == nullptr);
}

Status check_number(const char* optimizer, const char* what, double value, bool fits) {
  if (fits && std::isfinite(value)) return ok_status();
  return Error{ErrorKind::kUsage,
               std::string("the ") + what + " of " + optimizer + " cannot be " + std::to_string(value)};
}

Status check_options(const AdamOptions& options) {
  const char* name = options.decoupled_weight_decay ? "AdamW" : "Adam";
  const auto share = [](double beta) { return beta >= 0 && beta < 1; };
  for (const Status& checked : {check_number(name, "learning rate", options.lr, options.lr >= 0),
                                check_number(name, "first beta", options.beta1, share(options.beta1)),
                                check_number(name, "second beta", options.beta2, share(options.beta2)),
                                check_number(name, "eps", options.eps, options.eps >= 0),
                                check_number(name, "weight decay", options.weight_decay, options.weight_decay >= 0)}) {
    if (!checked) return checked;
  }
  return ok_status();
}

Status check_options(const SgdOptions& options) {
  for (const Status& checked : {check_number("SGD", "learning rate", options.lr, options.lr >= 0),
                                check_number("SGD", "momentum", options.momentum, options.momentum >= 0),
                                check_number("SGD", "dampening", options.dampening, true),
                                check_number("SGD", "weight decay", options.weight_decay, options.weight_decay >= 0)}) {
    if (!checked) return checked;
  }
  if (options.nesterov && (options.momentum <= 0 || options.dampening != 0)) {
    return usage_error("Nesterov's momentum needs a momentum above 0 and no dampening");
  }
  return ok_status();
}

std::unique_ptr<Optimizer> optimizer_from(std::vector<at::Tensor> parameters, const AdamOptions& options) {
  return std::make_unique<Adam>(std::move(parameters), options);
}

std::unique_ptr<Optimizer> optimizer_from(std::vector<at::Tensor> parameters, const SgdOptions& options) {
  return std::make_unique<Sgd>(std::move(parameters), options);
}

}  // namespace

// Each class writes keys that no other does.
std::string optimizer_of(const Value& group) {
  const auto has = [&](const char* key) { return group.find(key) != nullptr; };
  if (has("dampening")) return number(group, "momentum").value_or(0) != 0 ? "SGD with momentum" : "SGD";
  if (has("momentum_decay")) return "NAdam";
  if (has("betas") && has("amsgrad")) return is_true(group, "decoupled_weight_decay") ? "AdamW" : "Adam";
  if (has("betas")) return has("decoupled_weight_decay") ? "RAdam" : "Adamax";
  if (has("centered")) return "RMSprop";
  if (has("rho")) return "Adadelta";
  if (has("lr_decay")) return "Adagrad";
  return "another optimizer";
}

void Optimizer::step(const at::Tensor& grad_scale, const at::Tensor& found_inf) {
  wait_for_readers();
  const c10::NoGradGuard no_grad;
  Active active;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& gradient = parameters_[i].grad();
    if (!gradient.defined()) continue;
    active.indices.push_back(i);
    active.parameters.push_back(parameters_[i]);
    active.gradients.push_back(laid_out_as(gradient, parameters_[i]));
  }
  if (!active.indices.empty()) apply(active, if_defined(grad_scale), if_defined(found_inf));
}

void Optimizer::zero_grad(bool set_to_none) {
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

Value Optimizer::state_dict(double initial_lr) const {
  Dict states;
  List indices;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    indices.push_back(index);
    if (Dict state = state_of(i); !state.empty()) states.emplace_back(index, std::move(state));
  }
  Dict hyperparameters = group();
  hyperparameters.emplace_back("initial_lr", initial_lr);
  hyperparameters.emplace_back("params", std::move(indices));
  return Dict{{"state", std::move(states)}, {"param_groups", List{std::move(hyperparameters)}}};
}

void Optimizer::wait_for_readers() {
  for (const auto& wait : std::exchange(waits_, {})) wait();
}

Status Optimizer::load_state_dict(const Value& state) {
  wait_for_readers();
  const c10::NoGradGuard no_grad;
  const Value* entries = state.find("state");
  const List* groups = items(state.find("param_groups"));
  if (entries == nullptr || groups == nullptr) return state_mismatch("it is no optimizer's state_dict");
  if (groups->size() != 1) {
    return state_mismatch("it has " + std::to_string(groups->size()) + " parameter groups, this optimizer has one");
  }
  const Value& group = groups->front();
  const List* indices = items(group.find("params"));
  if (indices == nullptr) return state_mismatch("its param_groups are damaged");
  if (!is_state_of(name(), group)) {
    return state_mismatch("the checkpoint's optimizer is " + optimizer_of(group) + ", this run's is " + name() +
                          " (see --optimizer)");
  }
  if (indices->size() != parameters_.size()) {
    return state_mismatch("it is for " + std::to_string(indices->size()) + " parameters, the model has " +
                          std::to_string(parameters_.size()));
  }
  if (is_true(group, "amsgrad") || is_true(group, "maximize")) {
    return state_mismatch("it was made with amsgrad or maximize, which are not supported");
  }
  if (entries->get<Dict>() == nullptr) return state_mismatch("its 'state' is damaged");
  std::vector<const Value*> states(parameters_.size(), nullptr);
  for (const auto& [key, entry] : *entries->get<Dict>()) {
    const int64_t* index = key.get<int64_t>();
    if (index == nullptr || *index < 0 || *index >= static_cast<int64_t>(states.size())) {
      return state_mismatch("it has state for a parameter that is not there");
    }
    states[static_cast<size_t>(*index)] = &entry;
  }
  if (Status loaded = load(group, states); !loaded) return state_mismatch(loaded.error().message);
  return ok_status();
}

Result<std::unique_ptr<Optimizer>> make_optimizer(std::vector<at::Tensor> parameters, const OptimizerOptions& options) {
  return std::visit(
      [&](const auto& chosen) -> Result<std::unique_ptr<Optimizer>> {
        if (Status checked = check_options(chosen); !checked) return checked.error();
        return optimizer_from(std::move(parameters), chosen);
      },
      options);
}

}  // namespace ferrun::ddp
