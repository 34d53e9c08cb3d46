// How a training run begins: where it writes, what it continues from and with which options, and then with which
// weights.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/data/dataset.h"
#include "worker/model/emotion_net.h"
#include "worker/train/checkpoint_content.h"
#include "worker/train/checkpointer.h"
#include "worker/train/ending.h"
#include "worker/train/job.h"
#include "worker/train/options.h"
#include "worker/train/run_log.h"
#include "worker/train/training_state.h"

namespace ferrun::train {

// What was decided before the parts of the run are made.
struct RunStart {
  TrainOptions options;
  std::string directory;
  std::string checkpoint_file;  // empty: afresh
  checkpoint::Value checkpoint;
  RestoreRules rules;
  std::vector<std::string> notes = {};  // of the options of a run that goes on
};

// A collective, with the same answer on every rank; nothing is written.
std::variant<RunStart, Ending> decide_start(const TrainOptions& asked, const Job& job);

// Whether all batches can be trained on by so many ranks. Failure: one line with the options that help.
Status check_batches(const data::Split& split, const TrainOptions& options, int64_t world_size);

// A collective: puts the checkpoint into the checkpointer's parts and lets go of it, or the given weights into rank 0's
// model, and says so. `classes` are the data's. An ending is a failure, the same on every rank.
std::optional<Ending> begin_run(RunStart& start, model::EmotionNet& model, TrainingState& state,
                                Checkpointer& checkpointer, const std::vector<std::string>& classes, RunLog& log,
                                ddp::ProcessGroup& group);

// A collective, once the run has saved its first checkpoint: each node notes it for the launch's next attempt, wherever
// that has its rank 0. A node that cannot is no reason to stop, the others' notes tell as well; it says so.
void remember_checkpoint(const RunStart& start, const Job& job);

}  // namespace ferrun::train
