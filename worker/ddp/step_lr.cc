#include "worker/ddp/step_lr.h"

#include "worker/ddp/schedule_state.h"
#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {

using checkpoint::Dict;
using checkpoint::Value;

void StepLr::step(double /*metric*/) {
  ++last_epoch_;
  if (last_epoch_ > 0 && last_epoch_ % step_size_ == 0) lr_ *= gamma_;
}

Value StepLr::state_dict() const {
  Dict state{{"step_size", step_size_}, {"gamma", gamma_}};
  add_position(state, {initial_lr_, lr_, last_epoch_});
  return state;
}

Status StepLr::load_state_dict(const Value& state) {
  const auto position = read_position(state);
  const auto step_size = integer(state, "step_size");
  const auto gamma = number(state, "gamma");
  if (!position || !step_size || *step_size < 1 || !gamma) return schedule_mismatch(state, name());
  initial_lr_ = position->initial_lr;
  continue_at(position->last_epoch, position->lr);
  step_size_ = *step_size;
  gamma_ = *gamma;
  return ok_status();
}

}  // namespace ferrun::ddp
