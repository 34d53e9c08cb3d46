// Ends a run whose validation accuracy no longer improves. A value: the checkpoint keeps it, and every rank decides
// alike from numbers that are sums over all ranks.
#pragma once

#include <cstdint>

namespace ferrun::train {

struct EarlyStopping {
  int64_t patience = 20;  // epochs; 0: never stops
  int64_t patience_left = 20;
  double best_accuracy = -1.0;  // no epoch yet

  static EarlyStopping with_patience(int64_t patience) { return {patience, patience, -1.0}; }

  // Takes in one epoch's accuracy; whether it is the best so far. An equal one is not better, as in the recipe.
  bool improved_by(double accuracy) {
    if (accuracy > best_accuracy) {
      best_accuracy = accuracy;
      patience_left = patience;
      return true;
    }
    --patience_left;
    return false;
  }
  bool exhausted() const { return patience > 0 && patience_left <= 0; }
  bool operator==(const EarlyStopping&) const = default;
};

}  // namespace ferrun::train
