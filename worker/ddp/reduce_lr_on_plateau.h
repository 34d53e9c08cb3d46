// torch.optim.lr_scheduler.ReduceLROnPlateau: the learning rate shrinks when a metric has stopped to improve.
#pragma once

#include <limits>
#include <optional>

#include "worker/ddp/lr_schedule.h"

namespace ferrun::ddp {

class ReduceLrOnPlateau : public LrSchedule {
 public:
  ReduceLrOnPlateau(GroupRates initial_lrs, ReduceLrOnPlateauOptions options);

  std::string name() const override { return "ReduceLROnPlateau"; }
  bool watches_metric() const override { return true; }
  void step(double metric) override;
  checkpoint::Value state_dict() const override;
  // PyTorch's state has no initial rate: that one stays.
  Status load_state_dict(const checkpoint::Value& state) override;

 private:
  bool is_better(double metric) const;
  bool takes_added_groups() const override { return default_min_lr_.has_value(); }

  ReduceLrOnPlateauOptions options_;      // with a min_lr for each group
  std::optional<double> default_min_lr_;  // where one was given for all
  double best_;
  int64_t bad_epochs_ = 0;
  int64_t cooldown_left_ = 0;
};

}  // namespace ferrun::ddp
