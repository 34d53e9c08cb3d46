// torch.optim.lr_scheduler.CosineAnnealingLR: half a cosine from the initial learning rate down to eta_min.
#pragma once

#include "worker/ddp/lr_schedule.h"

namespace ferrun::ddp {

class CosineAnnealingLr : public LrSchedule {
 public:
  CosineAnnealingLr(double initial_lr, CosineAnnealingLrOptions options) : LrSchedule(initial_lr), options_(options) {}

  std::string name() const override { return "CosineAnnealingLR"; }
  // Each rate from the one before it, as PyTorch does, not from the closed form: the bits are equal to Python's.
  void step(double metric) override;
  void begin() override;
  checkpoint::Value state_dict() const override;
  Status load_state_dict(const checkpoint::Value& state) override;

 private:
  CosineAnnealingLrOptions options_;
};

}  // namespace ferrun::ddp
