// Ends a run whose validation no longer improves. A value: a checkpoint keeps it, and every rank decides alike from
// numbers that are sums over all ranks. Usable without the trainer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ferrun::train {

enum class Monitor { kAccuracy, kLoss, kF1 };

// "val_accuracy", "val_loss", "val_f1".
const char* name_of(Monitor monitor);

struct EarlyStopping {
  Monitor monitor = Monitor::kAccuracy;
  double min_delta = 0.0;  // what counts as better is better by more than that
  int64_t patience = 20;   // epochs without a better one before the run ends; 0: never

  std::optional<double> best;  // no epoch yet
  int64_t best_epoch = 0;      // counted from 1
  int64_t epochs_without_improvement = 0;

  // Takes in the monitored value of an epoch (counted from 1); whether it is the best so far. An equal one is not, and
  // one that is no number never is.
  bool improved_by(double value, int64_t epoch);
  // The next epoch will be the best so far; patience stays.
  void forget_best() { best.reset(); }
  bool exhausted() const { return patience > 0 && epochs_without_improvement >= patience; }
  // "val_accuracy has not been better than 0.8312 (epoch 12) for 20 epochs".
  std::string reason() const;
  bool operator==(const EarlyStopping&) const = default;
};

}  // namespace ferrun::train
