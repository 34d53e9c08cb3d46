// torch.optim.lr_scheduler.StepLR as a value: the learning rate is multiplied by gamma every step_size epochs.
#pragma once

#include <cstdint>

#include "common/result.h"
#include "worker/checkpoint/value.h"

namespace ferrun::ddp {

class StepLr {
 public:
  // `step_size` in epochs, at least 1.
  StepLr(double initial_lr, int64_t step_size, double gamma)
      : initial_lr_(initial_lr), lr_(initial_lr), step_size_(step_size), gamma_(gamma) {}

  // Once an epoch, after its last optimizer step. Multiplies the last rate, as PyTorch does, instead of raising gamma
  // to a power: the bits are equal to Python's.
  void step() {
    ++last_epoch_;
    if (last_epoch_ % step_size_ == 0) lr_ *= gamma_;
  }

  // As if it had got to this rate by the end of `epoch` epochs.
  void continue_at(double lr, int64_t epoch) {
    lr_ = lr;
    last_epoch_ = epoch;
  }

  double lr() const { return lr_; }
  double initial_lr() const { return initial_lr_; }
  int64_t last_epoch() const { return last_epoch_; }

  // StepLR.state_dict() with the keys of torch 2.11.
  checkpoint::Value state_dict() const;
  // Takes over the position and the hyperparameters. All or nothing.
  Status load_state_dict(const checkpoint::Value& state);

 private:
  double initial_lr_;
  double lr_;
  int64_t step_size_;
  double gamma_;
  int64_t last_epoch_ = 0;
};

}  // namespace ferrun::ddp
