// Schedules that multiply the rate by gamma: torch.optim.lr_scheduler's StepLR, MultiStepLR and ExponentialLR.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "worker/ddp/chainable_lr.h"

namespace ferrun::ddp {

class StepLr : public ChainableLr {
 public:
  // `step_size` in epochs, at least 1.
  StepLr(GroupRates initial_lrs, int64_t step_size, double gamma = 0.1);

  std::string name() const override { return "StepLR"; }

 private:
  bool takes_added_groups() const override { return true; }
  double next_lr(size_t group) const override;
  checkpoint::Dict hyperparameters() const override;
  bool load_hyperparameters(const checkpoint::Value& state) override;

  int64_t step_size_;
  double gamma_;
};

class MultiStepLr : public ChainableLr {
 public:
  // A milestone that is named twice counts twice.
  MultiStepLr(GroupRates initial_lrs, const std::vector<int64_t>& milestones, double gamma = 0.1);

  std::string name() const override { return "MultiStepLR"; }

 private:
  bool takes_added_groups() const override { return true; }
  double next_lr(size_t group) const override;
  void enter() override;
  void begin() override;
  checkpoint::Dict hyperparameters() const override;
  bool load_hyperparameters(const checkpoint::Value& state) override;

  std::map<int64_t, int64_t> milestones_;  // how often each counts
  double gamma_;
};

class ExponentialLr : public ChainableLr {
 public:
  ExponentialLr(GroupRates initial_lrs, double gamma) : ChainableLr(std::move(initial_lrs)), gamma_(gamma) {}

  std::string name() const override { return "ExponentialLR"; }

 private:
  bool takes_added_groups() const override { return true; }
  double next_lr(size_t group) const override { return lrs_[group] * gamma_; }
  checkpoint::Dict hyperparameters() const override;
  bool load_hyperparameters(const checkpoint::Value& state) override;

  double gamma_;
};

}  // namespace ferrun::ddp
