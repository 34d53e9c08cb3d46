// torch.optim.lr_scheduler.CosineAnnealingLR: half a cosine from the initial learning rate down to eta_min; and
// CosineAnnealingWarmRestarts, which begins anew after each.
#pragma once

#include <string>

#include "worker/ddp/chainable_lr.h"

namespace ferrun::ddp {

class CosineAnnealingLr : public ChainableLr {
 public:
  CosineAnnealingLr(GroupRates initial_lrs, CosineAnnealingLrOptions options);

  std::string name() const override { return "CosineAnnealingLR"; }

 private:
  bool takes_added_groups() const override { return true; }
  double next_lr(size_t group) const override;
  void begin() override;
  checkpoint::Dict hyperparameters() const override;
  bool load_hyperparameters(const checkpoint::Value& state) override;

  CosineAnnealingLrOptions options_;
};

struct CosineAnnealingWarmRestartsOptions {
  int64_t t_0 = 10;    // epochs of the first cosine, at least 1
  int64_t t_mult = 1;  // each one is so many times as long as the one before
  double eta_min = 0.0;
};

class CosineAnnealingWarmRestarts : public ChainableLr {
 public:
  CosineAnnealingWarmRestarts(GroupRates initial_lrs, CosineAnnealingWarmRestartsOptions options);

  std::string name() const override { return "CosineAnnealingWarmRestarts"; }
  void step(double metric = 0) override;
  void continue_at(int64_t epoch, double lr) override;
  checkpoint::Value state_dict() const override;

 private:
  double next_lr(size_t group) const override;
  void enter() override;
  void begin() override { enter(); }
  checkpoint::Dict hyperparameters() const override;
  bool load_hyperparameters(const checkpoint::Value& state) override;

  CosineAnnealingWarmRestartsOptions options_;
  int64_t t_cur_ = 0;  // epochs since the last restart
  int64_t t_i_;        // epochs of the cosine under way
};

}  // namespace ferrun::ddp
