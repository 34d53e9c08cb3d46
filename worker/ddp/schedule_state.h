// What the states of PyTorch's schedules have in common.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"

namespace ferrun::ddp {

struct SchedulePosition {
  std::vector<double> initial_lrs;
  std::vector<double> lrs;
  int64_t last_epoch = 0;
};

// Appends base_lrs, last_epoch, _step_count, _is_initial, _get_lr_called_within_step and _last_lr.
void add_position(checkpoint::Dict& state, const SchedulePosition& position);
// nullopt when an entry is missing, damaged or for another number of parameter groups; `added`: initial rates of the
// last ones may be missing.
std::optional<SchedulePosition> read_position(const checkpoint::Value& state, size_t groups, bool added);

// The numbers of a list, one for each parameter group; nullopt when there is another number of them, or one is not
// finite.
std::optional<std::vector<double>> group_numbers(const checkpoint::Value& state, const char* key, size_t groups);
checkpoint::List number_list(const std::vector<double>& numbers);

// The class in torch.optim.lr_scheduler that wrote the state.
std::string schedule_of(const checkpoint::Value& state);
// Whether the schedule of this name wrote such a state. MultiplicativeLR and LambdaLR write the same keys.
bool is_state_of_schedule(const checkpoint::Value& state, std::string name);
// Why a state cannot be loaded into the schedule of this name: it is another's, or damaged.
Error schedule_mismatch(const checkpoint::Value& state, const std::string& name, size_t groups);

}  // namespace ferrun::ddp
