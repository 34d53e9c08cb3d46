// A run's state in one file of torch.save's format, both ways: Python reads ours with torch.load(weights_only=True) and
// the classes' load_state_dict, we read what Python wrote in this layout. Nothing in a file is executed.
//
//   CheckpointParts parts{.module = &*net.module(), .optimizer = &optimizer, .schedule = schedule.get()};
//   if (group->rank() == 0) save_checkpoint("last.pt", parts);           // the other ranks need not wait
//   const auto loaded = load_checkpoint("last.pt", parts);               // on every rank
//
// CheckpointSaver saves while the training goes on. Expected failures are one line: a file that is missing, damaged or
// of another model. Nothing here is collective. Thread rule: that of the parts.
#pragma once

#include <c10/core/Device.h>
#include <torch/nn/module.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/lr_schedule.h"
#include "worker/ddp/optimizer.h"
#include "worker/ddp/random_state.h"

namespace torch::optim {
class Optimizer;
}

namespace ferrun::ddp {

// How far a run has come in its data: what DistributedSampler's order depends on, and where in it the run is.
struct SamplerState {
  int64_t epoch = 0;
  int64_t samples = 0;  // of this epoch that are done, of all ranks
};

// Not owned; what is null takes no part.
struct CheckpointParts {
  torch::nn::Module* module = nullptr;
  Optimizer* optimizer = nullptr;
  LrSchedule* schedule = nullptr;
  GradScaler* scaler = nullptr;
  SamplerState* sampler = nullptr;
  torch::optim::Optimizer* torch_optimizer = nullptr;  // in place of `optimizer`
  // Random generators' states, by rank or as the program likes: group->all_gather(random_state()). A load leaves the
  // file's here, to be put back by set_random_state().
  std::vector<at::Tensor>* random_states = nullptr;
};

// The file's names for the parts.
struct CheckpointKeys {
  std::string module = "model_state_dict";
  std::string optimizer = "optimizer_state_dict";
  std::string schedule = "scheduler_state_dict";
  std::string scaler = "scaler_state_dict";
  std::string sampler = "sampler";
  std::string random_states = "rng_states";
};

// The file's content, to be added to or written by other means. Its tensors are the parts' own: use them up before the
// next step. Failure: an optimizer of torch::optim whose state cannot be saved.
Result<checkpoint::Dict> checkpoint_content(const CheckpointParts& parts, const CheckpointKeys& keys = {});

// Writes the parts, and `more` after them, so that a crash leaves the old file or the new one. On one rank.
Status save_checkpoint(const std::string& path, const CheckpointParts& parts, const checkpoint::Dict& more = {},
                       const CheckpointKeys& keys = {});

// A module's weights as safetensors, with texts beside them. On one rank.
Status save_safetensors(const std::string& path, const torch::nn::Module& module,
                        const std::map<std::string, std::string>& texts = {});

struct CheckpointLoading {
  bool strict = true;         // names that only the module or only the file has are an error; else they are told
  bool other_shapes = false;  // a weight of another shape is left out and told; else it is an error
  bool other_parts = false;   // a part that the file lacks is left as it is and told; else it is an error
  // The module's name for one in the file, "" for a weight that is to be left out; see rename_prefixes.
  std::function<std::string(const std::string&)> rename = {};
  // Where the content's tensors are to be; the parts keep their devices.
  std::optional<c10::Device> map_location = {};
  // CheckpointKeys' own for a file, distributed_keys() for a folder.
  std::optional<CheckpointKeys> keys = {};
};

// For CheckpointLoading::rename: the first pair whose first text a name begins with has it replaced by the second, or
// leaves the name out where that is "-".
std::function<std::string(const std::string&)> rename_prefixes(std::vector<std::pair<std::string, std::string>> pairs);

struct LoadedCheckpoint {
  std::vector<std::string> missing;        // names that the module has and the file lacks
  std::vector<std::string> unexpected;     // names in the file that the module has not
  std::vector<std::string> skipped;        // "'head.weight' has the shape [10, 4], the model's [3, 4]"
  std::vector<std::string> missing_parts;  // the keys of parts that the file lacks
  checkpoint::Value content;               // all of the file
};

// Reads a file into the parts: of torch.save, of safetensors, or a folder of torch.distributed.checkpoint (see
// distributed_checkpoint.h). One that is a module's state_dict alone serves where the module is the only part. Names
// may carry what DDP, torch.compile or Lightning put before them; an optimizer's state may be by parameter names, as
// torch.distributed.checkpoint has it. Failure: one line that names the file and the part; parts before it are loaded
// then, and the run should end.
Result<LoadedCheckpoint> load_checkpoint(const std::string& path, const CheckpointParts& parts,
                                         const CheckpointLoading& options = {});

// The same from a value that was read by other means.
Result<LoadedCheckpoint> load_content(checkpoint::Value content, const CheckpointParts& parts,
                                      const CheckpointLoading& options = {});

}  // namespace ferrun::ddp
