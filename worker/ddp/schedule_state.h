// What the states of PyTorch's schedules have in common.
#pragma once

#include <optional>
#include <string>

#include "common/result.h"
#include "worker/checkpoint/value.h"

namespace ferrun::ddp {

struct SchedulePosition {
  double initial_lr = 0;
  double lr = 0;
  int64_t last_epoch = 0;
};

// Appends base_lrs, last_epoch, _step_count, _is_initial, _get_lr_called_within_step and _last_lr.
void add_position(checkpoint::Dict& state, const SchedulePosition& position);
// nullopt when an entry is missing, damaged or for several parameter groups.
std::optional<SchedulePosition> read_position(const checkpoint::Value& state);

// The class in torch.optim.lr_scheduler that wrote the state.
std::string schedule_of(const checkpoint::Value& state);
// Why a state cannot be loaded into the schedule of this name: it is another's, or damaged.
Error schedule_mismatch(const checkpoint::Value& state, const std::string& name);

}  // namespace ferrun::ddp
