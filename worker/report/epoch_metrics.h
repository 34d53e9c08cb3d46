// What a run notes of each epoch, and metrics.csv, the file that holds it. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace ferrun::report {

// Losses are means over samples, accuracies shares of 1. A value that is not there is NaN.
struct EpochMetrics {
  int64_t epoch = 0;  // counted from 1
  double lr = 0.0;
  double train_loss = 0.0;
  double train_accuracy = 0.0;
  double val_loss = 0.0;
  double val_accuracy = 0.0;
  std::optional<double> val_f1 = std::nullopt;  // macro average, see ClassMetrics; older files and checkpoints lack it
  bool operator==(const EpochMetrics&) const = default;
};

// metrics.csv: a header, then a row an epoch. No times, so that equal runs give equal files.
std::string metrics_csv(const std::vector<EpochMetrics>& epochs);

// Reads what metrics_csv writes, of any version: columns are found by their names, unknown ones are passed over. A
// column or a cell that is missing gives NaN (for val_f1: nothing). Failure: one line with `name`, the file's, and the
// line's number.
Result<std::vector<EpochMetrics>> parse_metrics_csv(std::string_view text, const std::string& name);

// The number of the first epoch that is the best by `monitor`, a name of `worker --monitor`: "val_loss", the lowest, or
// "val_accuracy" and "val_f1", the highest; any other name counts as "val_accuracy". Nothing when no epoch has a value
// that is finite. With --min-delta the run may have kept another: that epoch is in its checkpoint.
std::optional<int64_t> best_epoch(const std::vector<EpochMetrics>& epochs, std::string_view monitor);

}  // namespace ferrun::report
