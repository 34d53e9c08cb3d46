#include "worker/ddp/lr_schedule.h"

#include <c10/util/Exception.h>

#include <cmath>

#include "worker/ddp/cosine_annealing_lr.h"
#include "worker/ddp/linear_lr.h"
#include "worker/ddp/reduce_lr_on_plateau.h"
#include "worker/ddp/sequential_lr.h"
#include "worker/ddp/step_lr.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using SchedulePointer = std::unique_ptr<LrSchedule>;
using MadeSchedule = Result<SchedulePointer>;

MadeSchedule schedule_from(double lr, const StepLrOptions& options) {
  if (options.step_size < 1) return usage_error("StepLR needs a step of at least one epoch");
  if (!std::isfinite(options.gamma) || options.gamma < 0) return usage_error("StepLR needs a gamma of at least 0");
  return SchedulePointer(std::make_unique<StepLr>(lr, options.step_size, options.gamma));
}

MadeSchedule schedule_from(double lr, const CosineAnnealingLrOptions& options) {
  if (options.t_max < 1) return usage_error("CosineAnnealingLR needs at least one epoch");
  if (!std::isfinite(options.eta_min) || options.eta_min < 0) {
    return usage_error("CosineAnnealingLR needs a lowest learning rate of at least 0");
  }
  return SchedulePointer(std::make_unique<CosineAnnealingLr>(lr, options));
}

MadeSchedule schedule_from(double lr, const ReduceLrOnPlateauOptions& options) {
  if (!(options.factor > 0 && options.factor < 1)) {
    return usage_error("ReduceLROnPlateau needs a factor between 0 and 1");
  }
  if (options.patience < 0 || options.cooldown < 0) {
    return usage_error("ReduceLROnPlateau's patience and cooldown cannot be negative");
  }
  return SchedulePointer(std::make_unique<ReduceLrOnPlateau>(lr, options));
}

}  // namespace

void LrSchedule::add_group(double lr) {
  TORCH_CHECK(takes_added_groups(), name(), " has no rate for a parameter group that is added to the optimizer, in ",
              "PyTorch neither: make a new schedule of optimizer.lrs()");
  lrs_.push_back(lr);
}

Dict LrSchedule::group_entries(size_t group) const {
  return group < initial_lrs_.size() ? Dict{{"initial_lr", initial_lrs_[group]}} : Dict{};
}

MadeSchedule make_lr_schedule(const LrScheduleOptions& options) {
  const double lr = options.initial_lr;
  const LinearWarmup& warmup = options.warmup;
  if (!std::isfinite(lr) || lr < 0) return usage_error("the learning rate cannot be " + std::to_string(lr));
  if (warmup.epochs < 0) return usage_error("the warm-up cannot have " + std::to_string(warmup.epochs) + " epochs");
  if (!(warmup.start_factor > 0 && warmup.start_factor <= 1)) {
    return usage_error("the warm-up has to start at more than 0 and at most 1 times the learning rate");
  }
  MadeSchedule made = std::visit([&](const auto& chosen) { return schedule_from(lr, chosen); }, options.schedule);
  if (!made || warmup.epochs == 0) return made;
  std::vector<SchedulePointer> parts;
  parts.push_back(std::make_unique<LinearLr>(lr, warmup.start_factor, 1.0, warmup.epochs));
  parts.push_back(std::move(*made));
  return SchedulePointer(std::make_unique<SequentialLr>(std::move(parts), std::vector<int64_t>{warmup.epochs}));
}

}  // namespace ferrun::ddp
