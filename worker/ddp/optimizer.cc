#include "worker/ddp/optimizer.h"

#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <map>
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

std::string counted(size_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

void check_count(const GroupRates& numbers, size_t groups, const char* what) {
  TORCH_CHECK(numbers.size() == groups, "there are ", what, " for ", counted(numbers.size(), "parameter group"),
              ", the optimizer has ", groups);
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

void Optimizer::add_parameters(const std::vector<at::Tensor>& parameters) {
  const size_t group = group_count(), begin = parameters_.size();
  std::map<const void*, size_t> indices;
  for (size_t i = 0; i < begin; ++i) indices.emplace(parameters_[i].unsafeGetTensorImpl(), i);
  std::vector<at::Tensor> added;
  for (size_t i = 0; i < parameters.size(); ++i) {
    TORCH_CHECK(parameters[i].defined(), "parameter ", i, " of group ", group, " is undefined");
    const auto [known, is_new] = indices.emplace(parameters[i].unsafeGetTensorImpl(), begin + added.size());
    if (is_new) added.push_back(parameters[i]);
    if (is_new || known->second >= begin) continue;
    const size_t other = group_of(known->second);
    TORCH_CHECK(false, "parameter ", i, " of group ", group, ", of the shape ", parameters[i].sizes(),
                ", is in the optimizer already, as parameter ", known->second - group_begin(other), " of group ",
                other);
  }
  parameters_.insert(parameters_.end(), added.begin(), added.end());
  group_ends_.push_back(parameters_.size());
}

size_t Optimizer::group_of(size_t parameter) const {
  return static_cast<size_t>(std::ranges::upper_bound(group_ends_, parameter) - group_ends_.begin());
}

std::span<const at::Tensor> Optimizer::parameters(size_t group) const {
  const size_t begin = group_begin(group);
  return std::span(parameters_).subspan(begin, group_ends_.at(group) - begin);
}

std::vector<double> Optimizer::lrs() const {
  std::vector<double> all;
  for (size_t group = 0; group < group_count(); ++group) all.push_back(lr_of(group));
  return all;
}

void Optimizer::set_lr(double lr) { set_lrs(std::vector<double>(group_count(), lr)); }

void Optimizer::set_lrs(const GroupRates& lrs) {
  check_count(lrs, group_count(), "rates");
  for (size_t group = 0; group < lrs.size(); ++group) set_lr_of(group, lrs[group]);
}

void Optimizer::set_momentum(double momentum) { set_momentums(std::vector<double>(group_count(), momentum)); }

void Optimizer::set_momentums(const GroupRates& momentums) {
  check_count(momentums, group_count(), "momentums");
  for (size_t group = 0; group < momentums.size(); ++group) set_momentum_of(group, momentums[group]);
}

void Optimizer::step(const at::Tensor& grad_scale, const at::Tensor& found_inf) {
  wait_for_readers();
  const c10::NoGradGuard no_grad;
  for (size_t group = 0; group < group_count(); ++group) {
    Active active{group, {}, {}, {}};
    for (size_t i = group_begin(group); i < group_ends_[group]; ++i) {
      const at::Tensor& gradient = parameters_[i].grad();
      if (!gradient.defined()) continue;
      active.indices.push_back(i);
      active.parameters.push_back(parameters_[i]);
      active.gradients.push_back(laid_out_as(gradient, parameters_[i]));
    }
    if (!active.indices.empty()) apply(active, if_defined(grad_scale), if_defined(found_inf));
  }
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

Value Optimizer::state_dict(const GroupRates& initial_lrs) const {
  check_count(initial_lrs, group_count(), "initial rates");
  Dict states;
  List groups;
  for (size_t group = 0; group < group_count(); ++group) {
    List indices;
    for (size_t i = group_begin(group); i < group_ends_[group]; ++i) {
      const auto index = static_cast<int64_t>(i);
      indices.push_back(index);
      if (Dict state = state_of(i); !state.empty()) states.emplace_back(index, std::move(state));
    }
    Dict written = hyperparameters(group);
    written.emplace_back("initial_lr", initial_lrs[group]);
    written.emplace_back("params", std::move(indices));
    groups.emplace_back(std::move(written));
  }
  return Dict{{"state", std::move(states)}, {"param_groups", std::move(groups)}};
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
  if (groups->size() != group_count()) {
    return state_mismatch("it has " + counted(groups->size(), "parameter group") + ", this optimizer has " +
                          (group_count() == 1 ? "one" : std::to_string(group_count())));
  }
  for (size_t group = 0; group < groups->size(); ++group) {
    if (Status fits = check_group((*groups)[group], group); !fits) return fits;
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
  if (Status loaded = load(*groups, states); !loaded) return state_mismatch(loaded.error().message);
  return ok_status();
}

Status Optimizer::check_group(const Value& saved, size_t group) const {
  const List* const indices = items(saved.find("params"));
  const size_t begin = group_begin(group), size = group_ends_[group] - begin;
  if (indices == nullptr) return state_mismatch("its param_groups are damaged");
  if (!is_state_of(name(), saved)) {
    return state_mismatch("the checkpoint's optimizer is " + optimizer_of(saved) + ", this run's is " + name() +
                          " (see --optimizer)");
  }
  if (group_count() == 1 && indices->size() != size) {
    return state_mismatch("it is for " + std::to_string(indices->size()) + " parameters, the model has " +
                          std::to_string(size));
  }
  const std::string place = "its group " + std::to_string(group);
  if (indices->size() != size) {
    return state_mismatch(place + " has " + counted(indices->size(), "parameter") + ", this optimizer's has " +
                          std::to_string(size));
  }
  for (size_t i = 0; i < size; ++i) {
    const int64_t* const index = (*indices)[i].get<int64_t>();
    if (index != nullptr && *index == static_cast<int64_t>(begin + i)) continue;
    return state_mismatch(place + " has other parameters than this optimizer's");
  }
  if (is_true(saved, "amsgrad") || is_true(saved, "maximize")) {
    return state_mismatch("it was made with amsgrad or maximize, which are not supported");
  }
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
