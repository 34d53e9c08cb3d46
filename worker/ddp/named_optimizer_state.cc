#include "worker/ddp/named_optimizer_state.h"

#include <torch/optim/optimizer.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "worker/checkpoint/module_state.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

// The module's names of an optimizer's parameters, by their index; "" for one that the module has not.
std::vector<std::string> names_of(const torch::nn::Module& module, const std::vector<at::Tensor>& parameters) {
  std::map<const void*, std::string> names;
  for (const auto& [name, tensor] : checkpoint::named_state(module)) names.emplace(tensor.unsafeGetTensorImpl(), name);
  std::vector<std::string> known;
  for (const at::Tensor& parameter : parameters) {
    const auto found = names.find(parameter.unsafeGetTensorImpl());
    known.push_back(found == names.end() ? "" : found->second);
  }
  return known;
}

// The state with every parameter's key exchanged: the keys of 'state' and the items of each group's 'params'.
template <typename Exchange>
Value with_keys(const Value& state, Exchange&& exchange) {
  Value changed = state;
  Value* const states = changed.find("state");
  if (Dict* const entries = states == nullptr ? nullptr : states->get<Dict>()) {
    for (auto& [key, entry] : *entries) key = exchange(key);
  }
  Value* const groups = changed.find("param_groups");
  if (List* const list = groups == nullptr ? nullptr : groups->get<List>()) {
    for (Value& group : *list) {
      Value* const parameters = group.find("params");
      if (List* const keys = parameters == nullptr ? nullptr : parameters->get<List>()) {
        for (Value& key : *keys) key = exchange(key);
      }
    }
  }
  return changed;
}

// Groups, and parameters within each, in the order of their indices: names say which is which, not where it stood.
Value in_order(Value state) {
  const auto before = [](const Value& a, const Value& b) {
    const int64_t *const first = a.get<int64_t>(), *const second = b.get<int64_t>();
    return first != nullptr && (second == nullptr || *first < *second);
  };
  const auto parameters = [](Value& group) {
    Value* const keys = group.find("params");
    return keys == nullptr ? nullptr : keys->get<List>();
  };
  Value* const groups = state.find("param_groups");
  List* const list = groups == nullptr ? nullptr : groups->get<List>();
  if (list == nullptr) return state;
  std::vector<std::pair<Value, Value>> ordered;  // the first parameter and its group
  for (Value& group : *list) {
    List* const keys = parameters(group);
    if (keys != nullptr) std::ranges::stable_sort(*keys, before);
    ordered.emplace_back(keys == nullptr || keys->empty() ? Value() : keys->front(), std::move(group));
  }
  std::ranges::stable_sort(ordered, [&](const auto& a, const auto& b) { return before(a.first, b.first); });
  list->clear();
  for (auto& [first, group] : ordered) list->push_back(std::move(group));
  return state;
}

Value index_of(const std::string& text) {
  int64_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  return error == std::errc() && end == text.data() + text.size() ? Value(index) : Value(text);
}

}  // namespace

Value optimizer_state_by_index(const Value& state, const torch::nn::Module& module,
                               const std::vector<at::Tensor>& parameters) {
  const std::vector<std::string> names = names_of(module, parameters);
  std::map<std::string, int64_t> indices;
  for (size_t i = 0; i < names.size(); ++i) indices.emplace(names[i], static_cast<int64_t>(i));
  Value whole = state;
  if (Dict* const entries = whole.get<Dict>();
      entries != nullptr && whole.find("state") == nullptr && whole.find("param_groups") != nullptr) {
    entries->emplace_back("state", Dict{});
  }
  bool named = false;
  const Value changed = with_keys(whole, [&](const Value& key) -> Value {
    const std::string* const name = key.get<std::string>();
    if (name == nullptr) return key;
    named = true;
    const std::string plain =
        checkpoint::unwrapped_name(*name, [&](const std::string& text) { return indices.count(text) != 0; });
    const auto found = indices.find(plain);
    return found == indices.end() ? index_of(*name) : Value(found->second);
  });
  return named ? in_order(changed) : changed;
}

Value optimizer_state_by_name(const Value& state, const torch::nn::Module& module,
                              const std::vector<at::Tensor>& parameters) {
  const std::vector<std::string> names = names_of(module, parameters);
  return with_keys(state, [&](const Value& key) -> Value {
    const int64_t* const index = key.get<int64_t>();
    if (index == nullptr || *index < 0 || *index >= std::ssize(names)) return key;
    const std::string& name = names[static_cast<size_t>(*index)];
    return name.empty() ? key : Value(name);
  });
}

std::vector<at::Tensor> all_parameters(const torch::optim::Optimizer& optimizer) {
  std::vector<at::Tensor> all;
  for (const auto& group : optimizer.param_groups()) {
    all.insert(all.end(), group.params().begin(), group.params().end());
  }
  return all;
}

}  // namespace ferrun::ddp
