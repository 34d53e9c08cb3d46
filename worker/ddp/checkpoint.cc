#include "worker/ddp/checkpoint.h"

#include <c10/core/GradMode.h>
#include <torch/optim/optimizer.h>

#include <algorithm>
#include <utility>

#include "worker/checkpoint/distributed_folder.h"
#include "worker/checkpoint/module_state.h"
#include "worker/checkpoint/reader.h"
#include "worker/checkpoint/writer.h"
#include "worker/ddp/distributed_checkpoint.h"
#include "worker/ddp/named_optimizer_state.h"
#include "worker/ddp/state_fields.h"
#include "worker/ddp/torch_optimizer_state.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

Status load_sampler(const Value& state, SamplerState& sampler) {
  const std::optional<int64_t> epoch = integer(state, "epoch"), samples = integer(state, "samples");
  if (!epoch || !samples || *epoch < 0 || *samples < 0) {
    return Error{ErrorKind::kUser, "it has no epoch and no number of samples"};
  }
  sampler = {*epoch, *samples};
  return ok_status();
}

Status load_random_states(const Value& value, std::vector<at::Tensor>& states) {
  const List* const list = items(&value);
  std::vector<at::Tensor> read;
  for (const Value& item : list == nullptr ? List() : *list) {
    if (const at::Tensor* tensor = item.get<at::Tensor>()) read.push_back(*tensor);
  }
  if (list == nullptr || read.size() != list->size()) return Error{ErrorKind::kUser, "it is no list of tensors"};
  states = std::move(read);
  return ok_status();
}

Status check_group_counts(const CheckpointParts& parts) {
  if (parts.schedule == nullptr || (parts.optimizer == nullptr && parts.torch_optimizer == nullptr)) return ok_status();
  const size_t rates = parts.schedule->lrs().size();
  const size_t groups =
      parts.optimizer != nullptr ? parts.optimizer->group_count() : parts.torch_optimizer->param_groups().size();
  if (rates == groups) return ok_status();
  return Error{ErrorKind::kUser, "the schedule has rates for " + std::to_string(rates) +
                                     " parameter groups, the optimizer has " + std::to_string(groups)};
}

// What the schedule has of each of the optimizer's groups, set in a state: Python's schedules look for it there.
void set_entries(Value& state, const LrSchedule& schedule) {
  List& groups = *state.find("param_groups")->get<List>();
  for (size_t i = 0; i < groups.size(); ++i) {
    Dict& group = *groups[i].get<Dict>();
    for (const auto& [key, value] : schedule.group_entries(i)) {
      if (Value* const known = groups[i].find(*key.get<std::string>())) {
        *known = value;
      } else {
        group.emplace(group.end() - 1, key, value);  // before 'params'
      }
    }
  }
}

Result<Value> optimizer_state(const CheckpointParts& parts) {
  if (Status fits = check_group_counts(parts); !fits) return fits.error();
  Result<Value> state = parts.optimizer != nullptr ? Result<Value>(parts.optimizer->state_dict(parts.optimizer->lrs()))
                                                   : state_dict(*parts.torch_optimizer);
  if (state && parts.schedule != nullptr) set_entries(*state, *parts.schedule);
  return state;
}

bool module_alone(const CheckpointParts& parts) {
  return parts.module != nullptr && parts.optimizer == nullptr && parts.torch_optimizer == nullptr &&
         parts.schedule == nullptr && parts.scaler == nullptr && parts.sampler == nullptr &&
         parts.random_states == nullptr;
}

// Loads a content's parts one after the other, up to the first that fails.
class Loader {
 public:
  Loader(LoadedCheckpoint& loaded, const CheckpointParts& parts, const CheckpointLoading& options)
      : loaded_(loaded), parts_(parts), options_(options), keys_(options.keys.value_or(CheckpointKeys())) {}

  Status run() {
    load_module();
    if (parts_.optimizer != nullptr) {
      load(keys_.optimizer, [&](const Value& state) {
        return parts_.optimizer->load_state_dict(by_index(state, parts_.optimizer->parameters()));
      });
    } else if (parts_.torch_optimizer != nullptr) {
      load(keys_.optimizer, [&](const Value& state) { return load_torch_optimizer(state); });
    }
    if (parts_.schedule != nullptr) {
      load(keys_.schedule, [&](const Value& state) { return parts_.schedule->load_state_dict(state); });
    }
    if (parts_.scaler != nullptr && (parts_.scaler->enabled() || loaded_.content.find(keys_.scaler) != nullptr)) {
      load(keys_.scaler, [&](const Value& state) { return parts_.scaler->load_state_dict(state); });
    }
    if (parts_.sampler != nullptr) {
      load(keys_.sampler, [&](const Value& state) { return load_sampler(state, *parts_.sampler); });
    }
    if (parts_.random_states != nullptr) {
      load(keys_.random_states, [&](const Value& states) { return load_random_states(states, *parts_.random_states); });
    }
    return std::move(status_);
  }

 private:
  void load_module() {
    if (parts_.module == nullptr) return;
    const auto copy = [this](const Value& state) -> Status {
      auto difference = checkpoint::load_state_dict(
          *parts_.module, state,
          {.strict = options_.strict, .other_shapes = options_.other_shapes, .rename = options_.rename});
      if (!difference) return difference.error();
      loaded_.missing = std::move(difference->missing);
      loaded_.unexpected = std::move(difference->unexpected);
      loaded_.skipped = std::move(difference->skipped);
      return ok_status();
    };
    if (!module_alone(parts_) || loaded_.content.find(keys_.module) != nullptr) {
      return load(keys_.module, copy);
    }
    // Safetensors come under this name, as Lightning's checkpoints do.
    const Value* const inner = loaded_.content.find("state_dict");
    status_ = copy(inner == nullptr ? loaded_.content : *inner);
  }

  Status load_torch_optimizer(const Value& state) {
    return load_state_dict(*parts_.torch_optimizer, by_index(state, all_parameters(*parts_.torch_optimizer)));
  }

  Value by_index(const Value& state, const std::vector<at::Tensor>& parameters) const {
    return parts_.module == nullptr ? state : optimizer_state_by_index(state, *parts_.module, parameters);
  }

  template <typename Load>
  void load(const std::string& key, Load&& load) {
    if (!status_) return;
    const Value* const entry = loaded_.content.find(key);
    if (entry == nullptr && options_.other_parts) return loaded_.missing_parts.push_back(key);
    status_ = entry == nullptr ? Status(Error{ErrorKind::kUser, "it has no '" + key + "'"}) : load(*entry);
    if (!status_ && entry != nullptr) {
      status_ = Error{status_.error().kind, key + ": " + status_.error().message};
    }
  }

  LoadedCheckpoint& loaded_;
  const CheckpointParts& parts_;
  const CheckpointLoading& options_;
  const CheckpointKeys keys_;
  Status status_ = ok_status();
};

}  // namespace

Result<Dict> checkpoint_content(const CheckpointParts& parts, const CheckpointKeys& keys) {
  Dict content;
  if (parts.module != nullptr) content.emplace_back(keys.module, checkpoint::module_view(*parts.module));
  if (parts.optimizer != nullptr || parts.torch_optimizer != nullptr) {
    Result<Value> state = optimizer_state(parts);
    if (!state) return state.error();
    content.emplace_back(keys.optimizer, std::move(*state));
  }
  if (parts.schedule != nullptr) content.emplace_back(keys.schedule, parts.schedule->state_dict());
  if (parts.scaler != nullptr) content.emplace_back(keys.scaler, parts.scaler->state_dict());
  if (parts.sampler != nullptr) {
    content.emplace_back(keys.sampler, Dict{{"epoch", parts.sampler->epoch}, {"samples", parts.sampler->samples}});
  }
  if (parts.random_states != nullptr) {
    content.emplace_back(keys.random_states, List(parts.random_states->begin(), parts.random_states->end()));
  }
  return content;
}

Status save_checkpoint(const std::string& path, const CheckpointParts& parts, const Dict& more,
                       const CheckpointKeys& keys) {
  Result<Dict> content = checkpoint_content(parts, keys);
  if (!content) return content.error();
  content->insert(content->end(), more.begin(), more.end());
  return checkpoint::write_atomically(path, std::move(*content));
}

Status save_safetensors(const std::string& path, const torch::nn::Module& module,
                        const std::map<std::string, std::string>& texts) {
  return checkpoint::write_safetensors_atomically(path, checkpoint::module_view(module), texts);
}

std::function<std::string(const std::string&)> rename_prefixes(std::vector<std::pair<std::string, std::string>> pairs) {
  return [pairs = std::move(pairs)](const std::string& name) {
    const auto found = std::ranges::find_if(pairs, [&](const auto& pair) { return name.starts_with(pair.first); });
    if (found == pairs.end()) return name;
    return found->second == "-" ? std::string() : found->second + name.substr(found->first.size());
  };
}

Result<LoadedCheckpoint> load_content(Value content, const CheckpointParts& parts, const CheckpointLoading& options) {
  LoadedCheckpoint loaded;
  loaded.content = std::move(content);
  if (Status status = Loader(loaded, parts, options).run(); !status) return status.error();
  const CheckpointKeys keys = options.keys.value_or(CheckpointKeys());
  const auto& unread = loaded.missing_parts;
  const bool has_schedule = std::ranges::find(unread, keys.schedule) == unread.end();
  if (parts.optimizer != nullptr && parts.schedule != nullptr && has_schedule) {
    if (Status fits = check_group_counts(parts); !fits) return fits.error();
    parts.optimizer->set_lrs(parts.schedule->lrs());
  }
  if (options.map_location) {
    const c10::NoGradGuard no_grad;
    loaded.content = checkpoint::map_tensors<at::Tensor>(
        loaded.content, [&](const at::Tensor& tensor) { return tensor.to(*options.map_location); });
  }
  return loaded;
}

Result<LoadedCheckpoint> load_checkpoint(const std::string& path, const CheckpointParts& parts,
                                         const CheckpointLoading& options) {
  Result<Value> read = checkpoint::read(path);
  if (!read) return read.error();
  CheckpointLoading chosen = options;
  if (!chosen.keys && checkpoint::is_distributed(path)) chosen.keys = distributed_keys();
  Result<LoadedCheckpoint> loaded = load_content(std::move(*read), parts, chosen);
  if (!loaded) return Error{loaded.error().kind, path + ": " + loaded.error().message};
  return loaded;
}

}  // namespace ferrun::ddp
