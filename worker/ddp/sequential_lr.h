// Schedules made of others: torch.optim.lr_scheduler's SequentialLR, one after the other, and ChainedScheduler, each on
// what the one before has made of the rates.
//
//   std::vector<std::unique_ptr<ddp::LrSchedule>> parts;
//   parts.push_back(std::make_unique<ddp::LinearLr>(lr, 0.01, 1.0, 500));
//   parts.push_back(std::make_unique<ddp::CosineAnnealingLr>(lr, ddp::CosineAnnealingLrOptions{9500}));
//   ddp::SequentialLr schedule(std::move(parts), {500});
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "worker/ddp/lr_schedule.h"

namespace ferrun::ddp {

class SequentialLr : public LrSchedule {
 public:
  // Part i + 1 is stepped from the epoch milestones[i] on, and begins its own epoch 0 there; they are in order, and
  // above 0. All have the same groups and initial rates, and none is a SequentialLr or a ChainedLr.
  SequentialLr(std::vector<std::unique_ptr<LrSchedule>> parts, std::vector<int64_t> milestones);

  std::string name() const override;
  bool watches_metric() const override;
  void step(double metric = 0) override;
  void add_group(double lr) override;
  void continue_at(int64_t epoch, double lr) override;
  checkpoint::Dict group_entries(size_t group) const override;
  checkpoint::Value state_dict() const override;
  // As LrSchedule has it, but for a part that does not fit: those before it are loaded then.
  Status load_state_dict(const checkpoint::Value& state) override;

 private:
  void enter() override;
  void begin() override { enter(); }
  size_t current() const;

  std::vector<std::unique_ptr<LrSchedule>> parts_;
  std::vector<int64_t> milestones_;
};

class ChainedLr : public LrSchedule {
 public:
  explicit ChainedLr(std::vector<std::unique_ptr<LrSchedule>> parts);

  std::string name() const override;
  bool watches_metric() const override;
  void step(double metric = 0) override;
  void add_group(double lr) override;
  void continue_at(int64_t epoch, double lr) override;
  checkpoint::Dict group_entries(size_t group) const override;
  checkpoint::Value state_dict() const override;
  // As SequentialLr's.
  Status load_state_dict(const checkpoint::Value& state) override;

 private:
  std::vector<std::unique_ptr<LrSchedule>> parts_;
};

}  // namespace ferrun::ddp
