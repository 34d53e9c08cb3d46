// What a run reports: sums over samples, one line of numbers an epoch, and the file that holds them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"

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

struct EpochMetrics {
  int64_t epoch = 0;  // counted from 1
  double lr = 0.0;
  double train_loss = 0.0;
  double train_accuracy = 0.0;
  double val_loss = 0.0;
  double val_accuracy = 0.0;
  bool operator==(const EpochMetrics&) const = default;
};

// metrics.csv: a header, then a row an epoch. No times, so that equal runs give equal files.
std::string metrics_csv(const std::vector<EpochMetrics>& epochs);

}  // namespace ferrun::train
