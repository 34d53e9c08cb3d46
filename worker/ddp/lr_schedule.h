// Learning-rate schedules with PyTorch's numbers, bit for bit, and PyTorch's state layout: torch.optim.lr_scheduler
// goes on from our state, and we from its.
//
//   ddp::OneCycleLr schedule({.max_lr = {0.1}, .total_steps = 1000});
//   schedule.apply_to(optimizer);                      // ferrun's or one of torch::optim
//   for (…) { optimizer.step(); schedule.step(); schedule.apply_to(optimizer); }
//
// Each schedule has a rate for every parameter group. The classes: step_lr.h, linear_lr.h, cosine_annealing_lr.h,
// cyclic_lr.h, reduce_lr_on_plateau.h, and those that put others together, sequential_lr.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/ddp/group_rates.h"

namespace torch::optim {
class Optimizer;
}

namespace ferrun::ddp {

class Optimizer;

// A value that knows no optimizer: whoever steps it sets the optimizer's rates, by apply_to() or from lr(), after each
// step(). Epochs are counted in calls of step(), as PyTorch counts them; whoever steps once a batch gets a schedule in
// batches. Not thread-safe.
class LrSchedule {
 public:
  virtual ~LrSchedule() = default;

  // PyTorch's class: "StepLR"; with a warm-up "LinearLR, then StepLR".
  virtual std::string name() const = 0;
  // Whether step() looks at its metric.
  virtual bool watches_metric() const { return false; }
  // Once an epoch, after its last optimizer step. `metric` of the epoch that has ended: ReduceLROnPlateau alone looks
  // at it, and counts one that is not a number as no improvement.
  virtual void step(double metric = 0) = 0;
  // Goes on after `epoch` epochs at the rate `lr` of every group, for a checkpoint that has an optimizer's state and no
  // schedule's.
  virtual void continue_at(int64_t epoch, double lr) {
    last_epoch_ = epoch;
    lrs_.assign(lrs_.size(), lr);
  }

  // The first group's.
  double lr() const { return lrs_.front(); }
  double initial_lr() const { return initial_lrs_.front(); }
  const std::vector<double>& lrs() const { return lrs_; }
  // Of the groups that the schedule was made for: one that was added has none, as in PyTorch.
  const std::vector<double>& initial_lrs() const { return initial_lrs_; }
  // Of schedules that change it (OneCycleLr, CyclicLr): SGD's momentum or Adam's first beta by group. Else empty.
  const std::vector<double>& momentums() const { return momentums_; }
  // Calls of step() so far; -1 while another schedule comes first.
  int64_t last_epoch() const { return last_epoch_; }

  // After the optimizer's add_param_group: its group goes on from the rate `lr` as PyTorch's does, which multiplies
  // what it finds in the optimizer. Throws c10::Error where PyTorch's schedule fails then: one whose rates are
  // functions of the initial ones, or ReduceLrOnPlateau with a min_lr for each group. CosineAnnealingLr fails behind
  // t_max steps, a SequentialLr while a milestone is ahead.
  virtual void add_group(double lr);

  // Sets the optimizer's rates, and its momentum where the schedule changes that. Throws c10::Error where it has
  // another number of parameter groups.
  void apply_to(Optimizer& optimizer) const;
  void apply_to(torch::optim::Optimizer& optimizer) const;

  // What the schedule keeps of a group in a Python optimizer's, which checkpoints write there: 'initial_lr' first.
  virtual checkpoint::Dict group_entries(size_t group) const;
  // The class's state_dict() with the keys of torch 2.11.
  virtual checkpoint::Value state_dict() const = 0;
  // Takes over the position and the hyperparameters, as Python does; integers count as floats. All or nothing; another
  // schedule's state is refused by that one's name.
  virtual Status load_state_dict(const checkpoint::Value& state) = 0;

 protected:
  explicit LrSchedule(GroupRates initial_lrs) : initial_lrs_(std::move(initial_lrs)), lrs_(initial_lrs_) {}
  LrSchedule(const LrSchedule&) = default;
  LrSchedule& operator=(const LrSchedule&) = default;
  // Which hold others, and hand them the rates that the one before has left.
  friend class SequentialLr;
  friend class ChainedLr;

  // Epoch 0 from the optimizer's rates, as PyTorch's constructor leaves it.
  virtual void enter() { last_epoch_ = 0; }
  // Whether a group's next rate depends on nothing but the one before, so that it needs no initial one.
  virtual bool takes_added_groups() const { return false; }
  // Epoch 0 of a schedule that follows another: SequentialLR's milestone.
  virtual void begin() {
    last_epoch_ = 0;
    lrs_ = initial_lrs_;
  }

  std::vector<double> initial_lrs_;
  std::vector<double> lrs_;
  std::vector<double> momentums_;
  int64_t last_epoch_ = 0;
};

// Multiplies the rate by gamma every step_size epochs.
struct StepLrOptions {
  int64_t step_size = 10;  // at least 1
  double gamma = 0.1;
};

// Half a cosine from the initial rate to eta_min within t_max epochs, and back up after them.
struct CosineAnnealingLrOptions {
  int64_t t_max = 100;  // at least 1
  double eta_min = 0.0;
};

// Multiplies the rate by `factor` when the metric has not improved for more than `patience` epochs.
struct ReduceLrOnPlateauOptions {
  bool larger_is_better = false;  // an accuracy, not a loss
  double factor = 0.1;            // below 1
  int64_t patience = 10;
  double threshold = 1e-4;  // an improvement is at least so much, as a part of the best metric or absolute
  bool threshold_is_relative = true;
  int64_t cooldown = 0;     // epochs after a reduction in which nothing is counted
  GroupRates min_lr = 0.0;  // one for all groups, or one for each
  double eps = 1e-8;        // a smaller reduction is left out
};

// PyTorch's SequentialLR of LinearLR(start_factor, total_iters=epochs) and the schedule proper, whose epoch 0 is the
// warm-up's epoch `epochs`. PyTorch refuses ReduceLROnPlateau there; here it sees the metrics after the warm-up.
struct LinearWarmup {
  int64_t epochs = 0;  // 0: none
  double start_factor = 1.0 / 3;
};

struct LrScheduleOptions {
  double initial_lr = 1e-3;
  std::variant<StepLrOptions, CosineAnnealingLrOptions, ReduceLrOnPlateauOptions> schedule;
  LinearWarmup warmup;
};

// The schedule that the options describe. Failure: a value that makes no schedule; the error names it.
Result<std::unique_ptr<LrSchedule>> make_lr_schedule(const LrScheduleOptions& options);

}  // namespace ferrun::ddp
