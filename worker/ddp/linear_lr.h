// torch.optim.lr_scheduler's ConstantLR, LinearLR, PolynomialLR, LambdaLR and MultiplicativeLR.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "worker/ddp/chainable_lr.h"

namespace ferrun::ddp {

// `factor` × the initial rate for `total_iters` epochs, then the whole.
class ConstantLr : public ChainableLr {
 public:
  // `factor`: above 0, at most 1.
  ConstantLr(GroupRates initial_lrs, double factor = 1.0 / 3, int64_t total_iters = 5);

  std::string name() const override { return "ConstantLR"; }

 private:
  bool takes_added_groups() const override { return true; }
  double next_lr(size_t group) const override;
  void enter() override;
  void begin() override;
  checkpoint::Dict hyperparameters() const override;
  bool load_hyperparameters(const checkpoint::Value& state) override;

  double factor_;
  int64_t total_iters_;
};

// From start_factor × the initial rate to end_factor × that rate.
class LinearLr : public ChainableLr {
 public:
  // `start_factor`: above 0, at most 1. `end_factor`: from 0 to 1. `total_iters`: at least 1.
  LinearLr(GroupRates initial_lrs, double start_factor = 1.0 / 3, double end_factor = 1.0, int64_t total_iters = 5);

  std::string name() const override { return "LinearLR"; }

 private:
  bool takes_added_groups() const override { return true; }
  double next_lr(size_t group) const override;
  void enter() override;
  void begin() override;
  checkpoint::Dict hyperparameters() const override;
  bool load_hyperparameters(const checkpoint::Value& state) override;

  double start_factor_;
  double end_factor_;
  int64_t total_iters_;
};

// The initial rate × (1 - epoch / total_iters) ^ power.
class PolynomialLr : public ChainableLr {
 public:
  // `power`: not negative.
  PolynomialLr(GroupRates initial_lrs, int64_t total_iters = 5, double power = 1.0);

  std::string name() const override { return "PolynomialLR"; }

 private:
  bool takes_added_groups() const override { return true; }
  double next_lr(size_t group) const override;
  checkpoint::Dict hyperparameters() const override;
  bool load_hyperparameters(const checkpoint::Value& state) override;

  int64_t total_iters_;
  double power_;
};

// The initial rate × function(epoch). The state has the position alone, as Python's has it of a plain function.
class LambdaLr : public ChainableLr {
 public:
  using Function = std::function<double(int64_t epoch)>;
  // One function for all groups, or one for each.
  LambdaLr(GroupRates initial_lrs, Function function);
  LambdaLr(GroupRates initial_lrs, std::vector<Function> functions);

  std::string name() const override { return "LambdaLR"; }
  checkpoint::Value state_dict() const override;

 private:
  double next_lr(size_t group) const override { return initial_lrs_[group] * functions_[group](last_epoch_); }
  void enter() override;
  void begin() override { enter(); }
  checkpoint::Dict hyperparameters() const override { return {}; }
  bool load_hyperparameters(const checkpoint::Value& state) override;

  std::vector<Function> functions_;
};

// The rate before × function(epoch). The state is a LambdaLR's, as Python's is: the two are not told apart.
class MultiplicativeLr : public ChainableLr {
 public:
  using Function = LambdaLr::Function;
  // One function for all groups, or one for each.
  MultiplicativeLr(GroupRates initial_lrs, Function function);
  MultiplicativeLr(GroupRates initial_lrs, std::vector<Function> functions);

  std::string name() const override { return "MultiplicativeLR"; }
  checkpoint::Value state_dict() const override;

 private:
  double next_lr(size_t group) const override { return lrs_[group] * functions_[group](last_epoch_); }
  void begin() override;
  checkpoint::Dict hyperparameters() const override { return {}; }
  bool load_hyperparameters(const checkpoint::Value& state) override;

  std::vector<Function> functions_;
};

}  // namespace ferrun::ddp
