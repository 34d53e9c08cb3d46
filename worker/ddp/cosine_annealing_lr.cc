#include "worker/ddp/cosine_annealing_lr.h"

#include <cmath>
#include <numbers>

#include "worker/ddp/schedule_state.h"
#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {

using checkpoint::Dict;
using checkpoint::Value;

void CosineAnnealingLr::step(double /*metric*/) {
  const double pi = std::numbers::pi, eta_min = options_.eta_min;
  const auto t_max = static_cast<double>(options_.t_max);
  ++last_epoch_;
  if ((last_epoch_ - 1 - options_.t_max) % (2 * options_.t_max) == 0) {
    lr_ = lr_ + (initial_lr_ - eta_min) * (1 - std::cos(pi / t_max)) / 2;
    return;
  }
  const auto epoch = static_cast<double>(last_epoch_);
  lr_ = (1 + std::cos(pi * epoch / t_max)) / (1 + std::cos(pi * (epoch - 1) / t_max)) * (lr_ - eta_min) + eta_min;
}

// The closed form at epoch 0, as SequentialLR has it; with eta_min it rounds.
void CosineAnnealingLr::begin() {
  continue_at(0, options_.eta_min + (initial_lr_ - options_.eta_min) * (1 + std::cos(0.0)) / 2);
}

Value CosineAnnealingLr::state_dict() const {
  Dict state{{"T_max", options_.t_max}, {"eta_min", options_.eta_min}};
  add_position(state, {initial_lr_, lr_, last_epoch_});
  return state;
}

Status CosineAnnealingLr::load_state_dict(const Value& state) {
  const auto position = read_position(state);
  const auto t_max = integer(state, "T_max");
  const auto eta_min = number(state, "eta_min");
  if (!position || !t_max || *t_max < 1 || !eta_min) return schedule_mismatch(state, name());
  initial_lr_ = position->initial_lr;
  continue_at(position->last_epoch, position->lr);
  options_ = {*t_max, *eta_min};
  return ok_status();
}

}  // namespace ferrun::ddp
