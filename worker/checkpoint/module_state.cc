#include "worker/checkpoint/module_state.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <map>
#include <string_view>

namespace ferrun::checkpoint {
namespace {

constexpr std::string_view kWrapperPrefix = "module.";

void collect(const torch::nn::Module& module, const std::string& prefix,
             std::vector<std::pair<std::string, at::Tensor>>& into) {
  for (const auto& entry : module.named_parameters(/*recurse=*/false))
    into.emplace_back(prefix + entry.key(), entry.value());
  for (const auto& entry : module.named_buffers(/*recurse=*/false))
    into.emplace_back(prefix + entry.key(), entry.value());
  for (const auto& child : module.named_children()) collect(*child.value(), prefix + child.key() + ".", into);
}

Error mismatch(const std::string& what) { return {ErrorKind::kUser, "the weights do not fit the model: " + what}; }

// The state's tensors by name, without the prefix that wraps all of them. Failure: no state_dict at all.
Result<std::map<std::string, at::Tensor>> tensors_by_name(const Value& state) {
  const Dict* dict = state.get<Dict>();
  if (dict == nullptr || dict->empty()) return mismatch("there is no state_dict");
  const bool wrapped = std::all_of(dict->begin(), dict->end(), [](const auto& entry) {
    const auto* name = entry.first.template get<std::string>();
    return name != nullptr && name->compare(0, kWrapperPrefix.size(), kWrapperPrefix) == 0;
  });
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [key, value] : *dict) {
    const auto* name = key.get<std::string>();
    const auto* tensor = value.get<at::Tensor>();
    if (name == nullptr || tensor == nullptr) {
      return mismatch("the state_dict's entry " + (name == nullptr ? "without a name" : "'" + *name + "'") +
                      " is no tensor");
    }
    tensors.emplace(wrapped ? name->substr(kWrapperPrefix.size()) : *name, *tensor);
  }
  return tensors;
}

std::string shape(const at::Tensor& tensor) { return "[" + c10::Join(", ", tensor.sizes()) + "]"; }

}  // namespace

std::vector<std::pair<std::string, at::Tensor>> named_state(const torch::nn::Module& module) {
  std::vector<std::pair<std::string, at::Tensor>> entries;
  collect(module, "", entries);
  return entries;
}

Value module_state(const torch::nn::Module& module) {
  const c10::NoGradGuard no_grad;
  Dict state;
  for (const auto& [name, tensor] : named_state(module)) {
    const auto options = tensor.options().device(c10::kCPU).memory_format(c10::MemoryFormat::Contiguous);
    state.emplace_back(name, at::empty(tensor.sizes(), options).copy_(tensor.detach()));
  }
  return state;
}

Status load_module_state(torch::nn::Module& module, const Value& state, Match match) {
  auto given = tensors_by_name(state);
  if (!given) return given.error();
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  // to, from
  std::vector<std::string> missing;
  for (const auto& [name, tensor] : named_state(module)) {
    const auto found = given->find(name);
    if (found == given->end()) {
      missing.push_back(name);
      continue;
    }
    if (found->second.sizes() != tensor.sizes()) {
      return mismatch("'" + name + "' has the shape " + shape(found->second) + ", the model needs " + shape(tensor));
    }
    copies.emplace_back(tensor, found->second);
    given->erase(found);
  }
  if (match == Match::kExact && !missing.empty()) {
    return mismatch(std::to_string(missing.size()) + " of the model's entries are missing, first '" + missing.front() +
                    "'");
  }
  if (match == Match::kExact && !given->empty()) {
    return mismatch(std::to_string(given->size()) + " entries are not the model's, first '" + given->begin()->first +
                    "'");
  }
  const c10::NoGradGuard no_grad;
  for (auto& [to, from] : copies) to.copy_(from);
  return ok_status();
}

}  // namespace ferrun::checkpoint
