#include "worker/train/run_log.h"

#include <cstdio>
#include <utility>

#include "worker/report/confusion_plot.h"
#include "worker/report/curves.h"
#include "worker/report/output_file.h"
#include "worker/train/output_plan.h"

namespace ferrun::train {

RunLog::RunLog(bool on, std::string directory, const std::vector<EpochMetrics>& history, int64_t epochs)
    : on_(on),
      directory_(std::move(directory)),
      history_(history),
      display_(on, epochs),
      tensorboard_(join_path(directory_, kTensorBoardFolder),
                   [this](const std::string& line) { say("note: " + line); }) {}

void RunLog::start() {
  if (on_) tensorboard_.start(history_);
}

Status RunLog::epoch_done(bool best) {
  display_.epoch_done(history_.back(), best);
  if (!on_) return ok_status();
  tensorboard_.add_epoch(history_.back());
  return report::write_file(join_path(directory_, kMetricsFile), report::metrics_csv(history_));
}

Status RunLog::test_done(const report::TestResult& result) {
  if (!on_) return ok_status();
  const report::ClassMetrics metrics = report::ClassMetrics::of(result.confusion);
  char line[128];
  std::snprintf(line, sizeof line, "test of the best model: loss %.4f, accuracy %.4f, macro F1 %.4f", result.loss,
                metrics.accuracy, metrics.macro_f1);
  say(line);
  say(report::metrics_table(metrics));
  if (Status written = report::write_test_json(join_path(directory_, kTestFile), result); !written) return written;
  const Result<std::vector<uint8_t>> picture = report::confusion_png(result.confusion);
  tensorboard_.add_picture("confusion_matrix", std::ssize(history_), picture);
  if (!picture) return picture.error();
  return report::write_file(join_path(directory_, kConfusionFile), std::span<const uint8_t>(*picture));
}

Status RunLog::finish(int64_t best_epoch) const {
  if (!on_ || history_.empty()) return ok_status();
  return report::write_curves(join_path(directory_, kCurvesFile), history_, best_epoch);
}

}  // namespace ferrun::train
