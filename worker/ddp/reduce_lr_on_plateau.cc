#include "worker/ddp/reduce_lr_on_plateau.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

#include "worker/ddp/schedule_state.h"
#include "worker/ddp/state_fields.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

double worst_metric(const ReduceLrOnPlateauOptions& options) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return options.larger_is_better ? -kInfinity : kInfinity;
}

std::optional<std::string> text(const Value& state, const char* key) {
  const Value* value = state.find(key);
  const std::string* found = value == nullptr ? nullptr : value->get<std::string>();
  return found == nullptr ? std::nullopt : std::optional<std::string>(*found);
}

// The hyperparameters; nullopt when one is missing or damaged.
std::optional<ReduceLrOnPlateauOptions> read_plateau_options(const Value& state, size_t groups) {
  const auto mode = text(state, "mode"), threshold_mode = text(state, "threshold_mode");
  const auto factor = number(state, "factor"), threshold = number(state, "threshold"), eps = number(state, "eps");
  const List* const saved_min_lrs = items(state.find("min_lrs"));
  const bool for_all = number(state, "default_min_lr").has_value() && saved_min_lrs != nullptr;
  const auto min_lrs = group_numbers(state, "min_lrs", for_all ? std::min(saved_min_lrs->size(), groups) : groups);
  const auto patience = integer(state, "patience"), cooldown = integer(state, "cooldown");
  if (!mode || !threshold_mode || !factor || !threshold || !eps || !min_lrs || !patience || !cooldown) {
    return std::nullopt;
  }
  return ReduceLrOnPlateauOptions{*mode == "max",           *factor,   *patience, *threshold,
                                  *threshold_mode == "rel", *cooldown, *min_lrs,  *eps};
}

}  // namespace

ReduceLrOnPlateau::ReduceLrOnPlateau(GroupRates initial_lrs, ReduceLrOnPlateauOptions options)
    : LrSchedule(std::move(initial_lrs)), options_(std::move(options)), best_(worst_metric(options_)) {
  TORCH_CHECK(options_.factor < 1, "ReduceLROnPlateau's factor cannot be ", options_.factor);
  if (options_.min_lr.size() == 1) default_min_lr_ = options_.min_lr.front();
  options_.min_lr = for_groups(std::move(options_.min_lr), lrs_.size(), "ReduceLROnPlateau's min_lr");
}

bool ReduceLrOnPlateau::is_better(double metric) const {
  const double threshold = options_.threshold;
  if (options_.larger_is_better) {
    return metric > (options_.threshold_is_relative ? best_ * (threshold + 1.0) : best_ + threshold);
  }
  return metric < (options_.threshold_is_relative ? best_ * (1.0 - threshold) : best_ - threshold);
}

void ReduceLrOnPlateau::step(double metric) {
  ++last_epoch_;
  if (is_better(metric)) {
    best_ = metric;
    bad_epochs_ = 0;
  } else {
    ++bad_epochs_;
  }
  if (cooldown_left_ > 0) {
    --cooldown_left_;
    bad_epochs_ = 0;
  }
  if (bad_epochs_ <= options_.patience) return;
  // As PyTorch does for groups that were added.
  if (default_min_lr_) options_.min_lr.resize(lrs_.size(), *default_min_lr_);
  for (size_t group = 0; group < lrs_.size(); ++group) {
    const double reduced = std::max(lrs_[group] * options_.factor, options_.min_lr[group]);
    if (lrs_[group] - reduced > options_.eps) lrs_[group] = reduced;
  }
  cooldown_left_ = options_.cooldown;
  bad_epochs_ = 0;
}

Value ReduceLrOnPlateau::state_dict() const {
  return Dict{{"factor", options_.factor},
              {"default_min_lr", default_min_lr_ ? Value(*default_min_lr_) : Value()},
              {"min_lrs", number_list(options_.min_lr)},
              {"patience", options_.patience},
              {"cooldown", options_.cooldown},
              {"eps", options_.eps},
              {"last_epoch", last_epoch_},
              {"_last_lr", number_list(lrs_)},
              {"mode_worse", worst_metric(options_)},
              {"mode", options_.larger_is_better ? "max" : "min"},
              {"threshold", options_.threshold},
              {"threshold_mode", options_.threshold_is_relative ? "rel" : "abs"},
              {"best", best_},
              {"cooldown_counter", cooldown_left_},
              {"num_bad_epochs", bad_epochs_}};
}

Status ReduceLrOnPlateau::load_state_dict(const Value& state) {
  auto options = read_plateau_options(state, lrs_.size());
  auto lrs = group_numbers(state, "_last_lr", lrs_.size());
  const auto best = number(state, "best");
  const auto epoch = integer(state, "last_epoch"), cooldown = integer(state, "cooldown_counter"),
             bad_epochs = integer(state, "num_bad_epochs");
  if (!options || !lrs || !best || !epoch || *epoch < -1 || !cooldown || !bad_epochs) {
    return schedule_mismatch(state, name(), lrs_.size());
  }
  options_ = std::move(*options);
  default_min_lr_ = number(state, "default_min_lr");
  last_epoch_ = *epoch;
  lrs_ = std::move(*lrs);
  best_ = *best;
  cooldown_left_ = *cooldown;
  bad_epochs_ = *bad_epochs;
  return ok_status();
}

}  // namespace ferrun::ddp
