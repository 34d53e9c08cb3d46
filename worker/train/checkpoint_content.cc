#include "worker/train/checkpoint_content.h"

#include <cmath>

#include "worker/checkpoint/module_state.h"
#include "worker/ddp/random_state.h"
#include "worker/train/state_options.h"
#include "worker/train/value_fields.h"

namespace ferrun::train {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

Error unusable(const std::string& why) { return Error{ErrorKind::kUser, why}; }

std::string words(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& word : list) {
    text += (text.empty() ? "" : ", ") + word;
  }
  return text;
}

Status check_classes(const Value& checkpoint, const RunIdentity& identity) {
  if (checkpoint.find("classes") == nullptr) {
    return ok_status();  // a Python checkpoint; the model's shapes will tell
  }
  const Result<std::vector<std::string>> classes = texts_field(checkpoint, "classes");
  if (!classes) return classes.error();
  if (*classes != identity.classes) {
    return unusable("it was trained on the classes " + words(*classes) + ", but the data has " +
                    words(identity.classes));
  }
  return ok_status();
}

// An option of which the checkpoint knows another value.
std::vector<std::string> differing_options(const Value& checkpoint, const RunIdentity& identity) {
  std::vector<std::string> warnings;
  // Of a Python checkpoint, what its optimizer and its schedule say.
  const Value* const told = checkpoint.find("options");
  const Value saved = told == nullptr ? Value(options_of_states(checkpoint)) : *told;
  for (const auto& [key, value] : identity.options) {
    const std::string name = *key.get<std::string>();
    const Value* const before = saved.find(name);
    if (before == nullptr || before->is_none() || value_text(*before) == value_text(value)) continue;
    warnings.push_back(name == "pictures"
                           ? "the pictures are others, or called or divided otherwise"
                           : name + " was " + value_text(*before) + " and is " + value_text(value) + " now");
  }
  return warnings;
}

Value with_hyperparameters(const Value& optimizer, const Dict& given) {
  Value changed = optimizer;
  Value* const groups = changed.find("param_groups");
  List* const list = groups == nullptr ? nullptr : groups->get<List>();
  if (list == nullptr) return changed;
  for (Value& group : *list) {
    for (const auto& [key, value] : given) {
      if (Value* const entry = group.find(*key.get<std::string>())) *entry = value;
    }
  }
  return changed;
}

Status restore_average(const Value& checkpoint, const RunParts& parts, std::vector<std::string>& notes) {
  if (parts.average == nullptr) return ok_status();
  if (const Value* const saved = checkpoint.find("ema_state_dict")) return parts.average->load_state_dict(*saved);
  notes.emplace_back("the checkpoint has no average of the weights: it begins with these");
  return ok_status();
}

Status restore_parts(const Value& checkpoint, const RunParts& parts, const RestoreRules& rules) {
  const Value* const model = checkpoint.find("model_state_dict");
  if (model == nullptr) return unusable("it has no model_state_dict");
  if (Status loaded = checkpoint::load_module_state(*parts.model, *model); !loaded) return loaded.error();
  const Value* const optimizer = checkpoint.find("optimizer_state_dict");
  if (optimizer == nullptr) return unusable("it has no optimizer_state_dict, so training cannot continue from it");
  if (Status loaded = parts.optimizer.load_state_dict(with_hyperparameters(*optimizer, rules.hyperparameters)); !loaded)
    return loaded.error();
  const Value* const scaler = checkpoint.find("scaler_state_dict");
  if (scaler != nullptr && parts.scaler.enabled()) {
    const Dict* const entries = scaler->get<Dict>();
    if (entries != nullptr && !entries->empty()) {
      if (Status loaded = parts.scaler.load_state_dict(*scaler); !loaded) return loaded.error();
    }
  }
  return read_state(checkpoint, parts.state);
}

// A schedule from its beginning to the epochs that are done. A history that lacks some of them (Python's) has no
// metrics for one that looks at them: it begins here.
void take_to_epoch(ddp::LrSchedule& schedule, const TrainingState& state) {
  if (schedule.watches_metric() && std::ssize(state.history) < state.epoch) {
    return schedule.continue_at(state.epoch, schedule.initial_lr());
  }
  for (int64_t epoch = 0; epoch < state.epoch; ++epoch) {
    const auto known = static_cast<size_t>(epoch);
    schedule.step(known < state.history.size() ? monitored(state.early_stopping.monitor, state.history[known])
                                               : std::nan(""));
  }
}

// After the state and the optimizer. PyTorch's tutorials save no scheduler: its optimizer's learning rate is then where
// the schedule had got to.
Status restore_schedule(const Value& checkpoint, const RunParts& parts, const RestoreRules& rules,
                        std::vector<std::string>& notes) {
  ddp::LrSchedule& schedule = parts.schedule;
  if (rules.new_schedule) {
    take_to_epoch(schedule, parts.state);
    return ok_status();
  }
  if (const Value* const saved = checkpoint.find("scheduler_state_dict")) return schedule.load_state_dict(*saved);
  const double lr = parts.optimizer.lr();
  notes.push_back("the checkpoint has no scheduler: it goes on at its optimizer's learning rate, " + value_text(lr));
  schedule.continue_at(parts.state.epoch, lr);
  return ok_status();
}

Status restore_random_state(const Value& checkpoint, int rank) {
  const Value* const entry = checkpoint.find("rng_states");
  const List* const states = entry == nullptr ? nullptr : entry->get<List>();
  if (states == nullptr || static_cast<size_t>(rank) >= states->size()) {
    return ok_status();  // another world size, or a Python checkpoint: the generator stays as seeded
  }
  const at::Tensor* const state = (*states)[static_cast<size_t>(rank)].get<at::Tensor>();
  if (state == nullptr) return unusable("its random state is not a tensor");
  return ddp::set_random_state(*state);
}

}  // namespace

Value checkpoint_value(const RunParts& parts, const RunIdentity& identity, const std::vector<at::Tensor>& rng_states,
                       bool launch) {
  Dict dict;
  add_state(dict, parts.state);
  dict.emplace_back("model_state_dict", checkpoint::module_view(*parts.model));
  dict.emplace_back("optimizer_state_dict", parts.optimizer.state_dict(parts.schedule.initial_lrs()));
  dict.emplace_back("scheduler_state_dict", parts.schedule.state_dict());
  dict.emplace_back("scaler_state_dict", parts.scaler.state_dict());
  List states;
  for (const at::Tensor& state : rng_states) {
    states.emplace_back(state);
  }
  dict.emplace_back("rng_states", std::move(states));
  List classes;
  for (const std::string& name : identity.classes) {
    classes.emplace_back(name);
  }
  dict.emplace_back("classes", std::move(classes));
  dict.emplace_back("options", identity.options);
  dict.emplace_back("data", identity.data);
  dict.emplace_back("world_size", int64_t{identity.world_size});
  if (launch) {
    if (parts.average != nullptr) dict.emplace_back("ema_state_dict", parts.average->state_dict());
    dict.emplace_back("length", identity.length);
    dict.emplace_back("launch_id", identity.launch_id);
  }
  return dict;
}

Result<Restored> restore(const Value& checkpoint, const RunParts& parts, const RunIdentity& identity,
                         const RestoreRules& rules, int rank) {
  if (Status classes = check_classes(checkpoint, identity); !classes) return classes.error();
  if (Status restored = restore_parts(checkpoint, parts, rules); !restored) return restored.error();
  Restored restored{differing_options(checkpoint, identity), {}};
  if (Status schedule = restore_schedule(checkpoint, parts, rules, restored.notes); !schedule) {
    return schedule.error();
  }
  if (Status average = restore_average(checkpoint, parts, restored.notes); !average) return average.error();
  if (Status random = restore_random_state(checkpoint, rank); !random) return random.error();
  return restored;
}

}  // namespace ferrun::train
