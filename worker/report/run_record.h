// What the output directory of a run holds, read for the page that shows it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/result.h"
#include "worker/report/epoch_metrics.h"
#include "worker/report/test_result.h"

namespace ferrun::report {

struct RunRecord {
  std::string directory;  // as it was given
  std::string name;       // the directory's own, also of "." and "runs/a/"
  std::vector<EpochMetrics> epochs;
  std::string monitor = "val_accuracy";  // what made an epoch the best; as the checkpoint says, where it does
  std::optional<int64_t> best_epoch;     // the number of one of `epochs`
  std::optional<TestResult> test;
  std::vector<std::pair<std::string, std::string>> configuration;  // option, value; in the checkpoint's order
  std::string configuration_source;                                // the checkpoint's name in the directory
  std::vector<std::string> missing;                                // a sentence for each part that the page will lack
};

// Reads metrics.csv, test.json and, in best_model.pt or in last_model.pt where that is not there, the options and which
// epoch is the best. Each may be missing, but not metrics.csv and test.json both. Where no checkpoint tells the best
// epoch, or metrics.csv lacks it, it is best_epoch() of metrics.csv. Failure (kUsage: nothing to show; kUser: a damaged
// file): one line with the path. A checkpoint that cannot be read is only noted as missing. Of checkpoints the pickle
// is read, no tensor.
Result<RunRecord> read_run(const std::string& directory);

}  // namespace ferrun::report
