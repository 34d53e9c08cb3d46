#include "worker/train/state_options.h"

#include <optional>
#include <string>

#include "worker/ddp/optimizer.h"
#include "worker/ddp/schedule_state.h"
#include "worker/ddp/state_fields.h"
#include "worker/train/early_stopping.h"

namespace ferrun::train {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

void add_number(Dict& options, const char* key, const std::optional<double>& value) {
  if (value) options.emplace_back(key, *value);
}

void add_whole(Dict& options, const char* key, const std::optional<int64_t>& value) {
  if (value) options.emplace_back(key, *value);
}

void add_optimizer_options(Dict& options, const Value& group) {
  if (ddp::optimizer_of(group).starts_with("SGD")) {
    add_number(options, "momentum", ddp::number(group, "momentum"));
    options.emplace_back("nesterov", ddp::is_true(group, "nesterov"));
  }
  add_number(options, "weight_decay", ddp::number(group, "weight_decay"));
}

// One schedule's; `warmup` epochs have come before it.
void add_schedule_options(Dict& options, const Value& state, int64_t warmup) {
  const std::string name = ddp::schedule_of(state);
  if (name == "StepLR") {
    options.emplace_back("scheduler", "step");
    add_whole(options, "step_size", ddp::integer(state, "step_size"));
    add_number(options, "gamma", ddp::number(state, "gamma"));
  } else if (name == "CosineAnnealingLR") {
    options.emplace_back("scheduler", "cosine");
    if (const auto epochs = ddp::integer(state, "T_max")) options.emplace_back("cosine_epochs", *epochs + warmup);
    add_number(options, "min_lr", ddp::number(state, "eta_min"));
  } else if (name == "ReduceLROnPlateau") {
    options.emplace_back("scheduler", "plateau");
    add_number(options, "gamma", ddp::number(state, "factor"));
    add_whole(options, "plateau_patience", ddp::integer(state, "patience"));
    add_number(options, "min_lr", ddp::only_number(state, "min_lrs"));
    // PyTorch keeps the direction alone, not what was watched.
    const Value* const mode = state.find("mode");
    const auto* const word = mode == nullptr ? nullptr : mode->get<std::string>();
    if (word != nullptr && *word == "min") options.emplace_back("monitor", name_of(Monitor::kLoss));
  }
  add_number(options, "lr", ddp::only_number(state, "base_lrs"));
}

void add_schedules(Dict& options, const Value& state) {
  const List* const parts = ddp::items(state.find("_schedulers"));
  const auto milestone = ddp::only_number(state, "_milestones");
  if (parts == nullptr) {
    options.emplace_back("warmup", int64_t{0});
    add_schedule_options(options, state, 0);
  } else if (parts->size() == 2 && milestone && ddp::schedule_of(parts->front()) == "LinearLR") {
    const auto warmup = static_cast<int64_t>(*milestone);
    options.emplace_back("warmup", warmup);
    add_schedule_options(options, parts->back(), warmup);
  }
}

}  // namespace

Dict options_of_states(const Value& checkpoint) {
  Dict options;
  const Value* const optimizer = checkpoint.find("optimizer_state_dict");
  const List* const groups = optimizer == nullptr ? nullptr : ddp::items(optimizer->find("param_groups"));
  const Value* const group = groups == nullptr || groups->size() != 1 ? nullptr : &groups->front();
  if (group != nullptr) add_optimizer_options(options, *group);
  const Value* const schedule = checkpoint.find("scheduler_state_dict");
  if (schedule != nullptr) add_schedules(options, *schedule);
  if (Value(options).find("lr") != nullptr) return options;
  if (schedule != nullptr) {
    options.emplace_back("lr", Value());
  } else if (group != nullptr) {
    const auto initial = ddp::number(*group, "initial_lr");
    add_number(options, "lr", initial ? initial : ddp::number(*group, "lr"));
  }
  return options;
}

}  // namespace ferrun::train
