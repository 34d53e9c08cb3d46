#include "worker/train/early_stopping.h"

#include <cmath>
#include <cstdio>

namespace ferrun::train {

const char* name_of(Monitor monitor) {
  switch (monitor) {
    case Monitor::kAccuracy: return "val_accuracy";
    case Monitor::kLoss: return "val_loss";
    case Monitor::kF1: return "val_f1";
  }
  return "";
}

bool EarlyStopping::improved_by(double value, int64_t epoch) {
  const double gain = !best ? 0.0 : monitor == Monitor::kLoss ? *best - value : value - *best;
  if (std::isfinite(value) && (!best || gain > min_delta)) {
    best = value;
    best_epoch = epoch;
    epochs_without_improvement = 0;
    return true;
  }
  ++epochs_without_improvement;
  return false;
}

std::string EarlyStopping::reason() const {
  char value[32];
  std::snprintf(value, sizeof value, "%.4f", best.value_or(NAN));
  return std::string(name_of(monitor)) + " has not been better than " + value + " (epoch " +
         std::to_string(best_epoch) + ") for " + std::to_string(epochs_without_improvement) +
         (epochs_without_improvement == 1 ? " epoch" : " epochs");
}

}  // namespace ferrun::train
