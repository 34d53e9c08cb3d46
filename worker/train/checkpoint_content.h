// What a training checkpoint holds, as a value: made from the parts of a run, and put back into them.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/lr_schedule.h"
#include "worker/ddp/moving_average.h"
#include "worker/ddp/optimizer.h"
#include "worker/model/emotion_net.h"
#include "worker/train/training_state.h"

namespace ferrun::train {

// The parts of a run that a checkpoint is made from and restored into. Not owned.
struct RunParts {
  model::EmotionNet& model;
  ddp::Optimizer& optimizer;
  ddp::LrSchedule& schedule;
  ddp::GradScaler& scaler;
  TrainingState& state;
  ddp::ExponentialMovingAverage* average = nullptr;  // of the model; may be null
};

// What a run is, apart from how far it got.
struct RunIdentity {
  std::vector<std::string> classes;
  checkpoint::Dict options;  // what the numbers depend on: seed, batch size, world size, …
  std::string launch_id;
  int world_size = 1;
  checkpoint::Dict length = {};  // when it is to end: epochs, patience
  std::string data = {};         // the folder of its pictures; empty: drawn faces
};

// `rng_states`: the default generator's state of every rank, by rank. With `launch` the checkpoint says which launch
// wrote it and how long the run is to be, and has the weights' average beside the weights; best_model.pt does without,
// so that equal runs write equal files. The tensors are the parts' own: they are to be copied or written before the
// next step.
checkpoint::Value checkpoint_value(const RunParts& parts, const RunIdentity& identity,
                                   const std::vector<at::Tensor>& rng_states, bool launch);

// The launch that wrote the checkpoint; empty when it does not say.
template <typename Tensor>
std::string launch_of(const checkpoint::Tree<Tensor>& checkpoint) {
  const checkpoint::Tree<Tensor>* const launch = checkpoint.find("launch_id");
  const std::string* const text = launch == nullptr ? nullptr : launch->template get<std::string>();
  return text == nullptr ? "" : *text;
}

// What of a checkpoint does not count.
struct RestoreRules {
  bool new_schedule = false;         // the schedule stays as it was made, taken to the checkpoint's epoch
  checkpoint::Dict hyperparameters;  // in place of the optimizer's own
};

struct Restored {
  std::vector<std::string> warnings;  // what makes this run's numbers differ from an undisturbed one's
  std::vector<std::string> notes;
};

// Puts a checkpoint into the parts. A checkpoint of another model, with other classes or without what a resume needs is
// refused in one line; the parts are then unspecified and the run must not start.
Result<Restored> restore(const checkpoint::Value& checkpoint, const RunParts& parts, const RunIdentity& identity,
                         const RestoreRules& rules, int rank);

}  // namespace ferrun::train
