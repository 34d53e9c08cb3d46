// What a run counts: sums over samples, and what becomes of them at an epoch's end.
#pragma once

#include "worker/report/epoch_metrics.h"

namespace ferrun::train {

// Sums over samples. Sums of all ranks are the job's; padded duplicates are never added.
struct SampleSums {
  double loss = 0.0;  // of the samples' cross entropies
  double correct = 0.0;
  double count = 0.0;

  double mean_loss() const { return count > 0 ? loss / count : 0.0; }
  double accuracy() const { return count > 0 ? correct / count : 0.0; }
  SampleSums& operator+=(const SampleSums& other) {
    loss += other.loss;
    correct += other.correct;
    count += other.count;
    return *this;
  }
  bool operator==(const SampleSums&) const = default;
};

using report::EpochMetrics;

}  // namespace ferrun::train
