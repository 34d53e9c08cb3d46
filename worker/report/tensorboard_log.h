// A run's numbers for TensorBoard: `tensorboard --logdir DIR` shows them while the run goes on.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/report/epoch_metrics.h"
#include "worker/report/event_writer.h"

namespace ferrun::report {

// Steps are epochs. Scalars: loss/train, loss/val, accuracy/train, accuracy/val, f1/val, lr; a value that is not finite
// is left out.
//
// Nothing here can end a run: the first failure (a full disk, a folder that cannot be made) is told by one call of
// `warn`, and nothing is written from then on. Of one rank, on one thread.
class TensorBoardLog {
 public:
  using Warn = std::function<void(const std::string& line)>;

  // Nothing is written before start().
  TensorBoardLog(std::string folder, Warn warn);

  // Makes the folder and a new event file in it, whose name sorts behind those that are there. `finished` are the
  // epochs of the checkpoint that the run goes on from, none of a new run: TensorBoard drops what earlier files say of
  // later epochs, and epochs that they lack are written again. So each epoch is shown once, however often the run was
  // killed.
  void start(const std::vector<EpochMetrics>& finished);
  void add_epoch(const EpochMetrics& metrics);
  // `tag` as in "confusion_matrix"; `png` as confusion_png() and curves_png() make them.
  void add_picture(const std::string& tag, int64_t epoch, const Result<std::vector<uint8_t>>& png);

 private:
  void check(const Status& written);

  std::string folder_;
  Warn warn_;
  std::optional<EventWriter> writer_;
};

}  // namespace ferrun::report
