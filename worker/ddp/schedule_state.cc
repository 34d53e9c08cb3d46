#include "worker/ddp/schedule_state.h"

#include <algorithm>
#include <cmath>

#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

void add_position(Dict& state, const SchedulePosition& position) {
  state.emplace_back("base_lrs", List{position.initial_lr});
  state.emplace_back("last_epoch", position.last_epoch);
  // PyTorch's constructor counts as a step; that of a schedule which has to wait is undone, but stays counted.
  state.emplace_back("_step_count", std::max<int64_t>(position.last_epoch, 0) + 1);
  state.emplace_back("_is_initial", false);
  state.emplace_back("_get_lr_called_within_step", false);
  state.emplace_back("_last_lr", List{position.lr});
}

std::optional<SchedulePosition> read_position(const Value& state) {
  const auto initial = only_number(state, "base_lrs");
  const auto last = only_number(state, "_last_lr");
  const auto epoch = integer(state, "last_epoch");
  if (!initial || !last || !epoch || *epoch < -1 || !std::isfinite(*initial) || !std::isfinite(*last)) {
    return std::nullopt;
  }
  return SchedulePosition{*initial, *last, *epoch};
}

std::string schedule_of(const Value& state) {
  const auto has = [&](const char* key) { return state.find(key) != nullptr; };
  if (const List* parts = items(state.find("_schedulers"))) {
    std::string names;
    for (const Value& part : *parts) names += (names.empty() ? "" : ", then ") + schedule_of(part);
    return names;
  }
  if (has("num_bad_epochs")) return "ReduceLROnPlateau";
  if (has("step_size") && has("gamma")) return "StepLR";
  if (has("milestones")) return "MultiStepLR";
  if (has("T_max")) return "CosineAnnealingLR";
  if (has("T_0")) return "CosineAnnealingWarmRestarts";
  if (has("start_factor")) return "LinearLR";
  if (has("power")) return "PolynomialLR";
  if (has("lr_lambdas")) return "LambdaLR";
  if (has("total_steps")) return "OneCycleLR";
  if (has("step_ratio")) return "CyclicLR";
  if (has("factor")) return "ConstantLR";
  return has("gamma") ? "ExponentialLR" : "none that is known";
}

Error schedule_mismatch(const Value& state, const std::string& name) {
  const std::string theirs = schedule_of(state);
  if (theirs != name) {
    return Error{ErrorKind::kUser, "the scheduler state does not fit: the checkpoint's schedule is " + theirs +
                                       ", this run's is " + name};
  }
  return Error{ErrorKind::kUser, "the scheduler state is no " + name + "'s for one parameter group"};
}

}  // namespace ferrun::ddp
