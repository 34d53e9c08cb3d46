// A run's checkpoints in one folder, written while the training goes on: step-00000012.pt and so on, of which the last
// ones and the best one stay, and latest.json, which names both. What is there after a kill is what was there before or
// after the save.
//
//   CheckpointSaver saver("checkpoints", {.keep_last = 3});
//   if (group->rank() == 0) value_or_throw(saver.save(step, parts, {}, loss));
//   …
//   value_or_throw(saver.finish());
//
// save() returns before the parts' tensors are copied where their optimizer is a ferrun::ddp one: parameters and the
// optimizer's state, which its step() alone changes, are copied on a thread of the saver's own while the next gradients
// are computed, and step() waits for that. Who changes them otherwise before it calls wait_for_snapshot(). Buffers and
// all else are copied in save(). The file is made from the copy; a failure of it is told by the next call, and by
// finish(). On one rank. Thread rule: one thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/background_writer.h"
#include "worker/checkpoint/checkpoint_folder.h"
#include "worker/ddp/checkpoint.h"

namespace ferrun::ddp {

using checkpoint::best_checkpoint;
using checkpoint::latest_checkpoint;

struct SaverOptions {
  int keep_last = 3;  // checkpoints that stay; 0: all
  int keep_best = 1;  // and of those with a metric the best
  bool lower_is_better = true;
  bool asynchronous = true;  // false: save() returns when the file is in place
  CheckpointKeys keys = {};
  // Waits for a GPU that copies; needed where the parts are on one.
  std::function<void()> wait = {};
};

class CheckpointSaver {
 public:
  // Makes the folder with the first save, and takes up the checkpoints that it has.
  explicit CheckpointSaver(std::string folder, SaverOptions options = {});

  // Saves the parts, and `more` after them, as this step's. `metric` decides which one is the best; one that is not a
  // number counts as none. Waits where two files are unfinished. Failure: this one's, or an earlier one's that was not
  // told; this step is not saved then.
  Status save(int64_t step, const CheckpointParts& parts, const checkpoint::Dict& more = {},
              std::optional<double> metric = std::nullopt);

  // Waits until what save() was given has been copied, and may be changed by anybody.
  void wait_for_snapshot();

  // Waits until every file is in place. Failure: the first that was not told.
  Status finish();

 private:
  Status prepare();

  const std::string folder_;
  const SaverOptions options_;
  bool prepared_ = false;
  std::function<void()> snapshot_;                // waits for the last one
  std::vector<checkpoint::FolderEntry> entries_;  // the writer's thread has them once it runs
  checkpoint::BackgroundWriter writer_;           // last: its thread ends before the rest goes
};

}  // namespace ferrun::ddp
