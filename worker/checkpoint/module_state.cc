#include "worker/checkpoint/module_state.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "worker/checkpoint/background_writer.h"

namespace ferrun::checkpoint {
namespace {

// What stands before the names of a wrapped model's state_dict.
constexpr std::string_view kWrappers[] = {
    "module.", "model.", "net.", "network.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."};
constexpr std::string_view kCounter = "num_batches_tracked";

void collect(const torch::nn::Module& module, const std::string& prefix,
             std::vector<std::pair<std::string, at::Tensor>>& into) {
  for (const auto& entry : module.named_parameters(/*recurse=*/false))
    into.emplace_back(prefix + entry.key(), entry.value());
  for (const auto& entry : module.named_buffers(/*recurse=*/false))
    into.emplace_back(prefix + entry.key(), entry.value());
  for (const auto& child : module.named_children()) collect(*child.value(), prefix + child.key() + ".", into);
}

Error mismatch(const std::string& what) { return {ErrorKind::kUser, "the weights do not fit the model: " + what}; }

struct GivenEntry {
  std::string name;  // as it stands in the state_dict
  const Value* value;
};

// What `rename` makes of the state's names; entries that it leaves out are not among them.
std::string own_name(const std::string& name, const StateRules& rules, const std::set<std::string>& known) {
  const std::string renamed = rules.rename ? rules.rename(name) : name;
  return unwrapped_name(renamed, [&](const std::string& text) { return known.count(text) != 0; });
}

// The state's entries by the module's names. Failure: no state_dict at all, or two entries for one name.
Result<std::map<std::string, GivenEntry>> entries_by_name(const Value& state, const StateRules& rules,
                                                          const std::set<std::string>& known) {
  const Dict* dict = state.get<Dict>();
  if (dict == nullptr || dict->empty()) return mismatch("there is no state_dict");
  std::map<std::string, GivenEntry> entries;
  for (const auto& [key, value] : *dict) {
    const auto* name = key.get<std::string>();
    if (name == nullptr) return mismatch("the state_dict has an entry without a name");
    const std::string plain = own_name(*name, rules, known);
    if (plain.empty()) continue;
    const auto [found, is_new] = entries.emplace(plain, GivenEntry{*name, &value});
    if (!is_new) return mismatch("'" + found->second.name + "' and '" + *name + "' stand for the same entry");
  }
  return entries;
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

Value module_view(const torch::nn::Module& module) {
  Dict state;
  for (const auto& [name, tensor] : named_state(module)) state.emplace_back(name, tensor.detach());
  return state;
}

std::string unwrapped_name(const std::string& name, const std::function<bool(const std::string&)>& is_known) {
  std::string plain = name;
  for (bool is_shorter = true; is_shorter && !is_known(plain);) {
    is_shorter = false;
    for (std::string_view wrapper : kWrappers) {
      if (!plain.starts_with(wrapper)) continue;
      plain.erase(0, wrapper.size());
      is_shorter = true;
      break;
    }
  }
  if (is_known(plain)) return plain;
  // Parts of a model may be wrapped by themselves, by what no module would be called.
  std::string inner = plain;
  for (std::string_view wrapper : kWrappers) {
    const std::string segment = "." + std::string(wrapper);
    for (size_t at = 0; wrapper.starts_with('_') && (at = inner.find(segment)) != std::string::npos;) {
      inner.erase(at + 1, wrapper.size());
    }
  }
  return is_known(inner) ? inner : name;
}

std::string shortened(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) text += (i == 0 ? "'" : ", '") + names[i] + "'";
  return names.size() > kShown ? text + " and " + std::to_string(names.size() - kShown) + " more" : text;
}

Result<StateDifference> load_state_dict(torch::nn::Module& module, const Value& state, const StateRules& rules) {
  const auto wanted = named_state(module);
  std::set<std::string> known;
  for (const auto& entry : wanted) known.insert(entry.first);
  auto given = entries_by_name(state, rules, known);
  if (!given) return given.error();

  const c10::NoGradGuard no_grad;
  wait_for_copies();
  StateDifference difference;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  // to, from
  for (const auto& [name, tensor] : wanted) {
    const auto found = given->find(name);
    if (found == given->end()) {
      if (!name.ends_with(kCounter)) difference.missing.push_back(name);
      continue;
    }
    const auto* from = found->second.value->get<at::Tensor>();
    if (from == nullptr) {
      const auto* const other = found->second.value->get<Opaque>();
      return mismatch("the state_dict's entry '" + name + "' is no tensor" +
                      (other == nullptr ? "" : " that can be read, but made by " + other->qualified_name));
    }
    at::Tensor source = *from;
    if (tensor.dim() == 0 && source.dim() == 1 && source.size(0) > 0) source = source.select(0, 0);
    if (source.sizes() == tensor.sizes()) {
      copies.emplace_back(tensor, source);
    } else {
      difference.skipped.push_back("'" + name + "' has the shape " + shape(source) + ", the model's " + shape(tensor));
    }
  }
  for (const auto& [key, value] : *state.get<Dict>()) {
    const std::string& name = *key.get<std::string>();
    const std::string plain = own_name(name, rules, known);
    if (plain.empty()) continue;
    // torch.optim.swa_utils.AveragedModel counts its updates beside the module.
    if (known.count(plain) == 0 && name != "n_averaged") difference.unexpected.push_back(name);
  }

  std::string wrong;
  const auto add = [&](const std::string& text) { wrong += (wrong.empty() ? "" : "; ") + text; };
  if (rules.strict && !difference.missing.empty()) add("missing: " + shortened(difference.missing));
  if (rules.strict && !difference.unexpected.empty()) add("unexpected: " + shortened(difference.unexpected));
  if (const size_t others = difference.skipped.size(); others > 0 && !rules.other_shapes) {
    add("size mismatch: " + difference.skipped.front() +
        (others > 1 ? ", and " + std::to_string(others - 1) + " more" : ""));
  }
  if (!wrong.empty()) return mismatch(wrong);
  for (auto& [to, from] : copies) to.copy_(from);
  return difference;
}

Status load_module_state(torch::nn::Module& module, const Value& state) {
  auto loaded = load_state_dict(module, state);
  if (!loaded) return loaded.error();
  return ok_status();
}

}  // namespace ferrun::checkpoint
