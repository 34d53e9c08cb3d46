// How far a run has got, apart from weights and optimizer: what an exact resume needs besides them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/train/early_stopping.h"
#include "worker/train/metrics.h"

namespace ferrun::train {

struct TrainingState {
  int64_t epoch = 0;    // epochs that are finished
  int64_t step = 0;     // steps of the epoch after them that are done
  int64_t samples = 0;  // that these steps took from the epoch's order, all ranks: the sampler's position
  SampleSums sums;      // of those steps, all ranks
  EarlyStopping early_stopping;
  std::vector<EpochMetrics> history;  // of the finished epochs

  void begin_next_epoch() {
    ++epoch;
    step = samples = 0;
    sums = {};
  }
};

// "epoch 2, step 17", for a person: the epoch that is under way and the steps that are done in it.
std::string place(const TrainingState& state);

// The value that early stopping looks at.
double monitored(Monitor monitor, const EpochMetrics& metrics);

// Adds the state's entries to a checkpoint's dict.
void add_state(checkpoint::Dict& dict, const TrainingState& state);

// Reads them back. The best so far is the epoch whose model was kept, by the value that `state` watches; in a
// checkpoint that does not say which, the one that the history has. A checkpoint of the Python trainer, which has only
// the epoch, begins at the start of that epoch. On failure `state` is unspecified.
Status read_state(const checkpoint::Value& checkpoint, TrainingState& state);

}  // namespace ferrun::train
