#include "worker/ddp/torch_optimizer_state.h"

#include <ATen/ops/scalar_tensor.h>
#include <c10/core/GradMode.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "worker/ddp/optimizer.h"
#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Tuple;
using checkpoint::Value;
using torch::optim::OptimizerOptions;
using torch::optim::OptimizerParamGroup;
using torch::optim::OptimizerParamState;

// A class of torch::optim: its hyperparameters and what it remembers of a parameter, by PyTorch's names and in its
// order; `fixed`: hyperparameters that Python has and C++ does not.
struct AdamClass {
  using Options = torch::optim::AdamOptions;
  using State = torch::optim::AdamParamState;
  static constexpr const char* kName = "Adam";
  static void options(auto& held, auto&& visit) {
    visit("lr", held.lr());
    visit("betas", held.betas());
    visit("eps", held.eps());
    visit("weight_decay", held.weight_decay());
    visit("amsgrad", held.amsgrad());
  }
  static void state(auto& held, auto&& visit) {
    visit("step", held.step());
    visit("exp_avg", held.exp_avg());
    visit("exp_avg_sq", held.exp_avg_sq());
    visit("max_exp_avg_sq", held.max_exp_avg_sq());
  }
  static Dict fixed() {
    return {{"maximize", false},       {"foreach", Value()}, {"capturable", false},
            {"differentiable", false}, {"fused", Value()},   {"decoupled_weight_decay", false}};
  }
};

struct AdamWClass : AdamClass {
  using Options = torch::optim::AdamWOptions;
  using State = torch::optim::AdamWParamState;
  static constexpr const char* kName = "AdamW";
  static Dict fixed() {
    Dict same = AdamClass::fixed();
    same.back().second = true;
    return same;
  }
};

struct SgdClass {
  using Options = torch::optim::SGDOptions;
  using State = torch::optim::SGDParamState;
  static constexpr const char* kName = "SGD";
  static void options(auto& held, auto&& visit) {
    visit("lr", held.lr());
    visit("momentum", held.momentum());
    visit("dampening", held.dampening());
    visit("weight_decay", held.weight_decay());
    visit("nesterov", held.nesterov());
  }
  static void state(auto& held, auto&& visit) { visit("momentum_buffer", held.momentum_buffer()); }
  static Dict fixed() {
    return {{"maximize", false}, {"foreach", Value()}, {"differentiable", false}, {"fused", Value()}};
  }
};

struct RmspropClass {
  using Options = torch::optim::RMSpropOptions;
  using State = torch::optim::RMSpropParamState;
  static constexpr const char* kName = "RMSprop";
  static void options(auto& held, auto&& visit) {
    visit("lr", held.lr());
    visit("momentum", held.momentum());
    visit("alpha", held.alpha());
    visit("eps", held.eps());
    visit("centered", held.centered());
    visit("weight_decay", held.weight_decay());
  }
  static void state(auto& held, auto&& visit) {
    visit("step", held.step());
    visit("square_avg", held.square_avg());
    visit("momentum_buffer", held.momentum_buffer());
    visit("grad_avg", held.grad_avg());
  }
  static Dict fixed() {
    return {{"capturable", false}, {"foreach", Value()}, {"maximize", false}, {"differentiable", false}};
  }
};

struct AdagradClass {
  using Options = torch::optim::AdagradOptions;
  using State = torch::optim::AdagradParamState;
  static constexpr const char* kName = "Adagrad";
  static void options(auto& held, auto&& visit) {
    visit("lr", held.lr());
    visit("lr_decay", held.lr_decay());
    visit("eps", held.eps());
    visit("weight_decay", held.weight_decay());
    visit("initial_accumulator_value", held.initial_accumulator_value());
  }
  static void state(auto& held, auto&& visit) {
    visit("step", held.step());
    visit("sum", held.sum());
  }
  static Dict fixed() {
    return {{"foreach", Value()}, {"maximize", false}, {"differentiable", false}, {"fused", Value()}};
  }
};

Error does_not_fit(const std::string& what) { return {ErrorKind::kUser, "the optimizer state does not fit: " + what}; }

// Calls use(Class{}) with the class that has such options. Failure: none has.
template <typename Use>
Status with_class(const OptimizerOptions& options, Use&& use) {
  const auto is = [&]<typename Class>(Class) {
    return dynamic_cast<const typename Class::Options*>(&options) != nullptr;
  };
  if (is(AdamClass{})) return use(AdamClass{});
  if (is(AdamWClass{})) return use(AdamWClass{});
  if (is(SgdClass{})) return use(SgdClass{});
  if (is(RmspropClass{})) return use(RmspropClass{});
  if (is(AdagradClass{})) return use(AdagradClass{});
  return Error{
      ErrorKind::kUser,
      "the state of this optimizer cannot be saved or loaded: of torch::optim's that of Adam, AdamW, SGD, RMSprop "
      "and Adagrad alone can"};
}

// As Python keeps it: a count is a float tensor, what is not there yet has no entry.
struct ToDict {
  Dict& dict;
  void operator()(const char* name, double value) const { dict.emplace_back(name, value); }
  void operator()(const char* name, bool value) const { dict.emplace_back(name, value); }
  void operator()(const char* name, int64_t count) const {
    dict.emplace_back(name, at::scalar_tensor(static_cast<double>(count), at::kFloat));
  }
  void operator()(const char* name, const std::tuple<double, double>& pair) const {
    dict.emplace_back(name, Tuple{{std::get<0>(pair), std::get<1>(pair)}});
  }
  void operator()(const char* name, const at::Tensor& tensor) const {
    if (tensor.defined()) dict.emplace_back(name, tensor);
  }
};

// The same back into an object; what the dict lacks stays as it is.
struct FromDict {
  const Value& dict;
  size_t index;
  at::Tensor parameter;
  Status& status;

  void operator()(const char* name, double& value) const {
    if (dict.find(name) != nullptr) take(name, number(dict, name), value);
  }
  void operator()(const char* name, bool& value) const {
    if (dict.find(name) != nullptr) value = is_true(dict, name);
  }
  void operator()(const char* name, int64_t& count) const {
    double read = 0;
    take(name, number(dict, name), read);
    count = static_cast<int64_t>(read);
  }
  void operator()(const char* name, std::tuple<double, double>& pair) const {
    const List* both = items(dict.find(name));
    if (both == nullptr) return;
    if (both->size() != 2) return fail(name);
    take(name, number(&both->front()), std::get<0>(pair));
    take(name, number(&both->back()), std::get<1>(pair));
  }
  void operator()(const char* name, at::Tensor& tensor) const {
    const Value* const entry = dict.find(name);
    if (entry == nullptr || entry->is_none()) return;
    Result<at::Tensor> read = state_tensor(dict, name, index, parameter);
    if (!read) {
      status = does_not_fit(read.error().message);
    } else {
      tensor = std::move(*read);
    }
  }

 private:
  void take(const char* name, const std::optional<double>& read, double& value) const {
    if (!read) return fail(name);
    value = *read;
  }
  void fail(const char* name) const { status = does_not_fit("its " + std::string(name) + " is damaged"); }
};

struct LoadedGroup {
  std::unique_ptr<OptimizerOptions> options;
  std::vector<std::pair<void*, std::unique_ptr<OptimizerParamState>>> states;
};

const Value* state_of_index(const Dict& states, const Value& index) {
  const int64_t* const wanted = index.get<int64_t>();
  for (const auto& [key, entry] : states) {
    const int64_t* const number = key.get<int64_t>();
    if (wanted != nullptr && number != nullptr && *number == *wanted) return &entry;
  }
  return nullptr;
}

// Before torch 2.7 Adam and AdamW wrote the same keys.
bool is_group_of(const std::string& name, const Value& group) {
  const std::string theirs = optimizer_of(group).substr(0, optimizer_of(group).find(' '));
  return theirs == name || (theirs == "Adam" && name == "AdamW" && group.find("decoupled_weight_decay") == nullptr);
}

template <typename Class>
Status load_group(Class, const OptimizerParamGroup& group, const Value& state, const Dict& states,
                  LoadedGroup& loaded) {
  if (!is_group_of(Class::kName, state)) {
    return does_not_fit("the checkpoint's optimizer is " + optimizer_of(state) + ", this run's is " + Class::kName);
  }
  const List* const indices = items(state.find("params"));
  if (indices == nullptr) return does_not_fit("its param_groups are damaged");
  if (indices->size() != group.params().size()) {
    return does_not_fit("a group of it is for " + std::to_string(indices->size()) + " parameters, this run's has " +
                        std::to_string(group.params().size()));
  }
  if (is_true(state, "maximize")) return does_not_fit("it was made with maximize, which torch::optim has not");
  Status status = ok_status();
  auto options =
      std::make_unique<typename Class::Options>(static_cast<const typename Class::Options&>(group.options()));
  Class::options(*options, FromDict{state, 0, {}, status});
  if (!status) return status;
  loaded.options = std::move(options);
  for (size_t i = 0; i < indices->size(); ++i) {
    const Value* const entry = state_of_index(states, (*indices)[i]);
    if (entry == nullptr) continue;
    auto remembered = std::make_unique<typename Class::State>();
    Class::state(*remembered, FromDict{*entry, i, group.params()[i], status});
    if (!status) return status;
    loaded.states.emplace_back(group.params()[i].unsafeGetTensorImpl(), std::move(remembered));
  }
  return ok_status();
}

}  // namespace

Result<Value> state_dict(const torch::optim::Optimizer& optimizer, const GroupRates& initial_lrs) {
  if (!initial_lrs.empty() && initial_lrs.size() != optimizer.param_groups().size()) {
    return Error{ErrorKind::kUser, "there are initial rates for " + std::to_string(initial_lrs.size()) +
                                       " parameter groups, the optimizer has " +
                                       std::to_string(optimizer.param_groups().size())};
  }
  Dict states;
  List groups;
  int64_t index = 0;
  for (const OptimizerParamGroup& group : optimizer.param_groups()) {
    Dict written;
    const auto write = [&]<typename Class>(Class) {
      Class::options(static_cast<const typename Class::Options&>(group.options()), ToDict{written});
      const Dict fixed = Class::fixed();
      written.insert(written.end(), fixed.begin(), fixed.end());
      if (!initial_lrs.empty()) written.emplace_back("initial_lr", initial_lrs[groups.size()]);
      List indices;
      for (const at::Tensor& parameter : group.params()) {
        const auto found = optimizer.state().find(parameter.unsafeGetTensorImpl());
        if (found != optimizer.state().end()) {
          Dict state;
          Class::state(static_cast<const typename Class::State&>(*found->second), ToDict{state});
          if (!state.empty()) states.emplace_back(index, std::move(state));
        }
        indices.emplace_back(index++);
      }
      written.emplace_back("params", std::move(indices));
      return ok_status();
    };
    if (Status known = with_class(group.options(), write); !known) return known.error();
    groups.emplace_back(std::move(written));
  }
  return Value(Dict{{"state", std::move(states)}, {"param_groups", std::move(groups)}});
}

Status load_state_dict(torch::optim::Optimizer& optimizer, const Value& state) {
  const c10::NoGradGuard no_grad;
  const Value* const states = state.find("state");
  const List* const groups = items(state.find("param_groups"));
  if (states == nullptr || groups == nullptr || states->get<Dict>() == nullptr) {
    return does_not_fit("it is no optimizer's state_dict");
  }
  std::vector<OptimizerParamGroup>& own = optimizer.param_groups();
  if (groups->size() != own.size()) {
    return does_not_fit("it has " + std::to_string(groups->size()) + " parameter groups, this optimizer has " +
                        std::to_string(own.size()));
  }
  std::vector<LoadedGroup> loaded(own.size());
  for (size_t i = 0; i < own.size(); ++i) {
    const auto load = [&](auto known) {
      return load_group(known, own[i], (*groups)[i], *states->get<Dict>(), loaded[i]);
    };
    if (Status fits = with_class(own[i].options(), load); !fits) return fits;
  }
  optimizer.state().clear();
  for (size_t i = 0; i < own.size(); ++i) {
    own[i].set_options(std::move(loaded[i].options));
    for (auto& [parameter, remembered] : loaded[i].states) optimizer.state()[parameter] = std::move(remembered);
  }
  return ok_status();
}

}  // namespace ferrun::ddp
