#include "worker/train/run_log.h"

#include <utility>

#include "worker/checkpoint/atomic_file.h"
#include "worker/train/curves.h"
#include "worker/train/output_plan.h"

namespace ferrun::train {

RunLog::RunLog(bool on, std::string directory, const std::vector<EpochMetrics>& history, int64_t epochs)
    : on_(on), directory_(std::move(directory)), history_(history), display_(on, epochs) {}

Status RunLog::epoch_done(bool best) {
  display_.epoch_done(history_.back(), best);
  return on_ ? write_metrics() : ok_status();
}

Status RunLog::finish() const {
  return on_ && !history_.empty() ? write_curves(join_path(directory_, kCurvesFile), history_) : ok_status();
}

Status RunLog::write_metrics() const {
  const std::string csv = metrics_csv(history_);
  checkpoint::AtomicFile file(join_path(directory_, kMetricsFile));
  if (Status opened = file.open(); !opened) return opened;
  const auto* const bytes = reinterpret_cast<const uint8_t*>(csv.data());
  if (Status written = file.write({bytes, csv.size()}); !written) return written;
  return file.commit();
}

}  // namespace ferrun::train
