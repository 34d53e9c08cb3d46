// How far a run has got, apart from weights and optimizer: what an exact resume needs besides them.
#pragma once

#include <cstdint>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/train/early_stopping.h"
#include "worker/train/metrics.h"

namespace ferrun::train {

struct TrainingState {
  int64_t epoch = 0;  // epochs that are finished
  int64_t step = 0;   // steps of the epoch after them that are done: the sampler's position
  SampleSums sums;    // of those steps, all ranks
  EarlyStopping early_stopping;
  std::vector<EpochMetrics> history;  // of the finished epochs
};

// Adds the state's entries to a checkpoint's dict: epoch, loss, best_accuracy, patience_left, sampler, metrics,
// history.
void add_state(checkpoint::Dict& dict, const TrainingState& state);

// Reads them back; `state` keeps its patience, which is an option. A checkpoint of the Python trainer, which has only
// the epoch, begins at the start of that epoch. On failure `state` is unspecified.
Status read_state(const checkpoint::Value& checkpoint, TrainingState& state);

}  // namespace ferrun::train
