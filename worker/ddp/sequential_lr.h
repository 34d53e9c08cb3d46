// A linear warm-up and the schedule that follows it: torch.optim.lr_scheduler.SequentialLR([LinearLR, ...]).
#pragma once

#include <memory>

#include "worker/ddp/lr_schedule.h"

namespace ferrun::ddp {

// torch.optim.lr_scheduler.LinearLR with an end_factor of 1: from start_factor × the initial rate up to that rate.
class LinearLr : public LrSchedule {
 public:
  // `epochs`: total_iters, at least 1.
  LinearLr(double initial_lr, double start_factor, int64_t epochs);

  std::string name() const override { return "LinearLR"; }
  void step(double metric) override;
  void begin() override;
  checkpoint::Value state_dict() const override;
  Status load_state_dict(const checkpoint::Value& state) override;

 private:
  double start_factor_;
  double end_factor_ = 1.0;
  int64_t epochs_;
};

class SequentialLr : public LrSchedule {
 public:
  // `second` is stepped from the epoch `milestone` on, and reset to its own epoch 0 there.
  SequentialLr(LinearLr first, std::unique_ptr<LrSchedule> second, int64_t milestone);

  std::string name() const override { return first_.name() + ", then " + second_->name(); }
  bool watches_metric() const override { return second_->watches_metric(); }
  void step(double metric) override;
  void continue_at(int64_t epoch, double lr) override;
  void begin() override;
  checkpoint::Value state_dict() const override;
  Status load_state_dict(const checkpoint::Value& state) override;

 private:
  LrSchedule& current();

  LinearLr first_;
  std::unique_ptr<LrSchedule> second_;
  int64_t milestone_;
};

}  // namespace ferrun::ddp
