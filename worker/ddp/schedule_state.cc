#include "worker/ddp/schedule_state.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

void add_position(Dict& state, const SchedulePosition& position) {
  state.emplace_back("base_lrs", number_list(position.initial_lrs));
  state.emplace_back("last_epoch", position.last_epoch);
  // PyTorch's constructor counts as a step; that of a schedule which has to wait is undone, but stays counted.
  state.emplace_back("_step_count", std::max<int64_t>(position.last_epoch, 0) + 1);
  state.emplace_back("_is_initial", false);
  state.emplace_back("_get_lr_called_within_step", false);
  state.emplace_back("_last_lr", number_list(position.lrs));
}

std::optional<SchedulePosition> read_position(const Value& state, size_t groups, bool added) {
  const List* const base = items(state.find("base_lrs"));
  const size_t known = added && base != nullptr && !base->empty() ? std::min(base->size(), groups) : groups;
  auto initial = group_numbers(state, "base_lrs", known), last = group_numbers(state, "_last_lr", groups);
  const auto epoch = integer(state, "last_epoch");
  if (!initial || !last || !epoch || *epoch < -1) return std::nullopt;
  return SchedulePosition{std::move(*initial), std::move(*last), *epoch};
}

std::optional<std::vector<double>> group_numbers(const Value& state, const char* key, size_t groups) {
  const List* const list = items(state.find(key));
  if (list == nullptr || list->size() != groups) return std::nullopt;
  std::vector<double> numbers;
  for (const Value& item : *list) {
    const auto one = number(&item);
    if (!one || !std::isfinite(*one)) return std::nullopt;
    numbers.push_back(*one);
  }
  return numbers;
}

List number_list(const std::vector<double>& numbers) { return List(numbers.begin(), numbers.end()); }

std::string schedule_of(const Value& state) {
  const auto has = [&](const char* key) { return state.find(key) != nullptr; };
  if (const List* parts = items(state.find("_schedulers"))) {
    std::string names;
    const char* const joint = has("_milestones") ? ", then " : " with ";
    for (const Value& part : *parts) names += (names.empty() ? "" : joint) + schedule_of(part);
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
  if (has("anneal_epochs")) return "SWALR";
  return has("gamma") ? "ExponentialLR" : "none that is known";
}

bool is_state_of_schedule(const Value& state, std::string name) {
  static constexpr std::string_view kSame = "MultiplicativeLR", kWritten = "LambdaLR";
  for (size_t at = name.find(kSame); at != std::string::npos; at = name.find(kSame)) {
    name.replace(at, kSame.size(), kWritten);
  }
  return schedule_of(state) == name;
}

Error schedule_mismatch(const Value& state, const std::string& name, size_t groups) {
  const std::string theirs = schedule_of(state);
  if (!is_state_of_schedule(state, name)) {
    return Error{ErrorKind::kUser, "the scheduler state does not fit: the checkpoint's schedule is " + theirs +
                                       ", this run's is " + name};
  }
  return Error{ErrorKind::kUser,
               "the scheduler state is no " + name + "'s for " +
                   (groups == 1 ? "one parameter group" : std::to_string(groups) + " parameter groups")};
}

}  // namespace ferrun::ddp
