// Ends a run whose validation no longer improves. A value of plain fields: a checkpoint keeps them. Every rank decides
// alike from numbers that are sums over all ranks. Thread rule: one thread.
//
//   ddp::EarlyStopping stopping{.larger_is_better = true, .patience = 5};
//   if (stopping.improved_by(accuracy, epoch)) save_best();
//   if (stopping.exhausted()) break;
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace ferrun::ddp {

struct EarlyStopping {
  bool larger_is_better = false;  // an accuracy, not a loss
  double min_delta = 0.0;         // what counts as better is better by more than that
  int64_t patience = 20;          // epochs without a better one before the run ends; 0: never

  std::optional<double> best = std::nullopt;  // no epoch yet
  int64_t best_epoch = 0;                     // counted from 1
  int64_t epochs_without_improvement = 0;

  // Takes in the monitored value of an epoch (counted from 1); whether it is the best so far. An equal one is not, and
  // one that is no number never is.
  bool improved_by(double value, int64_t epoch) {
    const double gain = !best ? 0.0 : larger_is_better ? value - *best : *best - value;
    if (std::isfinite(value) && (!best || gain > min_delta)) {
      best = value;
      best_epoch = epoch;
      epochs_without_improvement = 0;
      return true;
    }
    ++epochs_without_improvement;
    return false;
  }
  // The next epoch will be the best so far; patience stays.
  void forget_best() { best.reset(); }
  bool exhausted() const { return patience > 0 && epochs_without_improvement >= patience; }
  // "val_accuracy has not been better than 0.8312 (epoch 12) for 20 epochs".
  std::string reason(const std::string& monitored) const {
    char value[32];
    std::snprintf(value, sizeof value, "%.4f", best.value_or(NAN));
    return monitored + " has not been better than " + value + " (epoch " + std::to_string(best_epoch) + ") for " +
           std::to_string(epochs_without_improvement) + (epochs_without_improvement == 1 ? " epoch" : " epochs");
  }
  bool operator==(const EarlyStopping&) const = default;
};

}  // namespace ferrun::ddp
