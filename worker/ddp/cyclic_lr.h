// Schedules of steps, not epochs, that move the momentum against the rate: torch.optim.lr_scheduler's OneCycleLR and
// CyclicLR. Their hyperparameters beyond the state's are kept in Python in the optimizer's groups: here they are the
// schedule's, and a state is loaded into one that was made with the same.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "worker/ddp/chainable_lr.h"

namespace ferrun::ddp {

struct OneCycleLrOptions {
  GroupRates max_lr;        // of each group
  int64_t total_steps = 0;  // at least 1; PyTorch's epochs × steps_per_epoch
  double pct_start = 0.3;   // the part of them in which the rate rises
  bool linear = false;      // anneal_strategy="linear" in place of "cos"
  bool cycle_momentum = true;
  GroupRates base_momentum = 0.85;  // one for all groups, or one for each
  GroupRates max_momentum = 0.95;
  double div_factor = 25.0;       // the rate at the beginning is max_lr / div_factor,
  double final_div_factor = 1e4;  // and at the end that one / final_div_factor
  bool three_phase = false;
  bool beta1 = false;  // the momentum is Adam's first beta: only the state tells it
};

// Throws c10::Error when it is stepped more than total_steps times.
class OneCycleLr : public ChainableLr {
 public:
  explicit OneCycleLr(OneCycleLrOptions options);

  std::string name() const override { return "OneCycleLR"; }
  void step(double metric = 0) override;
  checkpoint::Dict group_entries(size_t group) const override;

 private:
  enum class Level { kInitial, kMax, kMin };
  struct Phase {
    double end_step;
    Level start_lr, end_lr;
    bool falls, rises;  // the momentum begins at its maximum; it ends there
  };
  std::vector<Phase> phases() const;
  double lr_of(Level level, size_t group) const;
  double anneal(double start, double end, double part) const;
  // Of phase() at last_epoch_, and how far it is in it.
  std::pair<Phase, double> place() const;
  void set_momentums();

  double next_lr(size_t group) const override;
  void enter() override;
  void begin() override { enter(); }
  checkpoint::Dict hyperparameters() const override;
  bool load_hyperparameters(const checkpoint::Value& state) override;

  OneCycleLrOptions options_;
};

enum class CyclicMode { kTriangular, kTriangular2, kExpRange };

struct CyclicLrOptions {
  GroupRates base_lr;
  GroupRates max_lr;
  int64_t step_size_up = 2000;
  int64_t step_size_down = 0;  // 0: as step_size_up
  CyclicMode mode = CyclicMode::kTriangular;
  double gamma = 1.0;  // of kExpRange
  bool cycle_momentum = true;
  GroupRates base_momentum = 0.8;  // as OneCycleLrOptions has them
  GroupRates max_momentum = 0.9;
  bool beta1 = false;  // as OneCycleLrOptions has it
};

class CyclicLr : public ChainableLr {
 public:
  explicit CyclicLr(CyclicLrOptions options);

  std::string name() const override { return "CyclicLR"; }
  void step(double metric = 0) override;
  checkpoint::Dict group_entries(size_t group) const override;
  checkpoint::Value state_dict() const override;

 private:
  // The part of the way from base to max in step last_epoch_.
  double height() const;
  // What the mode makes of it.
  double scale() const;
  void set_momentums();

  double next_lr(size_t group) const override;
  void enter() override;
  void begin() override { enter(); }
  checkpoint::Dict hyperparameters() const override;
  bool load_hyperparameters(const checkpoint::Value& state) override;

  CyclicLrOptions options_;
  double total_size_;
  double step_ratio_;
};

}  // namespace ferrun::ddp
