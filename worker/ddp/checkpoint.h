// A run's state in one file of torch.save's format, both ways: Python reads ours with torch.load(weights_only=True) and
// the classes' load_state_dict, we read what Python wrote in this layout. Nothing in a file is executed.
//
//   CheckpointParts parts{.module = &*net.module(), .optimizer = &optimizer, .schedule = schedule.get()};
//   if (group->rank() == 0) save_checkpoint("last.pt", parts);           // the other ranks need not wait
//   const auto loaded = load_checkpoint("last.pt", parts);               // on every rank
//
// Expected failures are one line: a file that is missing, damaged or of another model. Thread rule: that of the parts.
#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/lr_schedule.h"
#include "worker/ddp/optimizer.h"

namespace ferrun::ddp {

// How far a run has come in its data: what DistributedSampler's order depends on, and where in it the run is.
struct SamplerState {
  int64_t epoch = 0;
  int64_t samples = 0;  // of this epoch that are done, of all ranks
};

// Not owned; what is null takes no part. Keys of the file: model_state_dict, optimizer_state_dict,
// scheduler_state_dict, scaler_state_dict, sampler.
struct CheckpointParts {
  torch::nn::Module* module = nullptr;
  Optimizer* optimizer = nullptr;
  LrSchedule* schedule = nullptr;
  GradScaler* scaler = nullptr;
  SamplerState* sampler = nullptr;
};

// The file's content, for a BackgroundWriter or to be added to. Its optimizer's tensors are the optimizer's own: write
// it before the next step.
checkpoint::Dict checkpoint_content(const CheckpointParts& parts);

// Writes the parts, and `more` after them, so that a crash leaves the old file or the new one. On one rank.
Status save_checkpoint(const std::string& path, const CheckpointParts& parts, const checkpoint::Dict& more = {});

struct CheckpointLoading {
  bool strict = true;  // names that only the module or only the file has are an error; else they are told
};

struct LoadedCheckpoint {
  std::vector<std::string> missing;     // names that the module has and the file lacks
  std::vector<std::string> unexpected;  // names in the file that the module has not
  checkpoint::Value content;            // all of the file
};

// Reads the file into the parts. A file that is a module's state_dict alone serves where the module is the only part.
// Names may carry what DDP, torch.compile or Lightning put before them. Failure: one line that names the file and the
// part; parts before it are loaded then, and the run should end.
Result<LoadedCheckpoint> load_checkpoint(const std::string& path, const CheckpointParts& parts,
                                         const CheckpointLoading& options = {});

}  // namespace ferrun::ddp
