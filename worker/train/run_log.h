// What a run tells while it goes on and leaves besides its checkpoints: lines and a progress bar, metrics.csv, files
// for TensorBoard, the curves, the result of the test. Rank 0's alone; the other ranks' logs do nothing.
//
// Ownership: borrows the history. Thread rule: one thread.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "worker/report/tensorboard_log.h"
#include "worker/report/test_result.h"
#include "worker/train/metrics.h"
#include "worker/train/progress.h"

namespace ferrun::train {

class RunLog {
 public:
  // `history`: the finished epochs, which the caller extends. `epochs`: how many there will be at most.
  RunLog(bool on, std::string directory, const std::vector<EpochMetrics>& history, int64_t epochs);

  ProgressDisplay& display() { return display_; }
  void say(const std::string& line) { display_.say(line); }
  // The run begins, or goes on behind what the history holds.
  void start();
  // Shows the history's last epoch and writes metrics.csv.
  Status epoch_done(bool best);
  // Shows the best model's numbers on the test set, writes test.json and draws the confusion matrix.
  Status test_done(const report::TestResult& result);
  // Draws the curves of all epochs, with the best one marked.
  Status finish(int64_t best_epoch) const;

 private:
  bool on_;
  std::string directory_;
  const std::vector<EpochMetrics>& history_;
  ProgressDisplay display_;
  report::TensorBoardLog tensorboard_;
};

}  // namespace ferrun::train
