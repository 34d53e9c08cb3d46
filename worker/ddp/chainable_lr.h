// What the schedules of one rule have in common: each rate from the one before it, as PyTorch computes them, not from a
// closed form, so that the bits are equal to Python's.
#pragma once

#include <utility>
#include <vector>

#include "worker/ddp/lr_schedule.h"
#include "worker/ddp/schedule_state.h"

namespace ferrun::ddp {

class ChainableLr : public LrSchedule {
 public:
  void step(double /*metric*/ = 0) override {
    ++last_epoch_;
    for (size_t group = 0; group < lrs_.size(); ++group) lrs_[group] = next_lr(group);
  }
  checkpoint::Value state_dict() const override {
    checkpoint::Dict state = hyperparameters();
    add_position(state, {initial_lrs_, lrs_, last_epoch_});
    return state;
  }
  Status load_state_dict(const checkpoint::Value& state) override {
    auto position = read_position(state, lrs_.size(), takes_added_groups());
    if (!is_state_of_schedule(state, name()) || !position || !load_hyperparameters(state)) {
      return schedule_mismatch(state, name(), lrs_.size());
    }
    initial_lrs_ = std::move(position->initial_lrs);
    lrs_ = std::move(position->lrs);
    last_epoch_ = position->last_epoch;
    return ok_status();
  }

 protected:
  using LrSchedule::LrSchedule;

  // The group's rate in epoch last_epoch_, which is not 0, after lrs_[group].
  virtual double next_lr(size_t group) const = 0;
  // What the state has before the position, in PyTorch's order.
  virtual checkpoint::Dict hyperparameters() const = 0;
  // Takes them over, all or none of them; whether they are there and sound.
  virtual bool load_hyperparameters(const checkpoint::Value& state) = 0;
};

}  // namespace ferrun::ddp
