// torch.optim.lr_scheduler.StepLR: the learning rate is multiplied by gamma every step_size epochs.
#pragma once

#include "worker/ddp/lr_schedule.h"

namespace ferrun::ddp {

class StepLr : public LrSchedule {
 public:
  // `step_size` in epochs, at least 1.
  StepLr(double initial_lr, int64_t step_size, double gamma)
      : LrSchedule(initial_lr), step_size_(step_size), gamma_(gamma) {}

  std::string name() const override { return "StepLR"; }
  // Multiplies the last rate, as PyTorch does, instead of raising gamma to a power: the bits are equal to Python's.
  void step(double metric) override;
  checkpoint::Value state_dict() const override;
  Status load_state_dict(const checkpoint::Value& state) override;

 private:
  int64_t step_size_;
  double gamma_;
};

}  // namespace ferrun::ddp
