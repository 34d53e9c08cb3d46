// Folders of torch.distributed.checkpoint, which every rank writes a part of: Python's dcp.load() and get_state_dict()
// read ours in a world of any size, and load_checkpoint() reads what DDP's and FSDP's ranks wrote in theirs.
//
//   value_or_throw(save_distributed_checkpoint("step-100", parts, *group));   // on every rank
//   value_or_throw(load_checkpoint("step-100", parts));                        // on every rank, of any number
//
// Python's side of these names:
//   model, optim = get_state_dict(net, optimizer)
//   state = {"model": model, "optim": optim}; dcp.load(state, checkpoint_id="step-100")
//   set_state_dict(net, optimizer, model_state_dict=state["model"], optim_state_dict=state["optim"])
//
// The folder is one that all ranks see. DDP's ranks hold the same tensors: each is written once, whole, and the ranks
// share the work. A kill leaves a folder without .metadata, which nothing reads. Thread rule: one thread a rank.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "worker/ddp/checkpoint.h"
#include "worker/ddp/collectives.h"

namespace ferrun::ddp {

// Names for the parts as torch.distributed.checkpoint's users have them: "model", "optim", "scheduler", "scaler",
// "sampler", "rng_states". load_checkpoint() looks for these in a folder unless it is given others.
CheckpointKeys distributed_keys();

// The ranks that write one folder.
struct CheckpointRanks {
  int rank = 0;
  int world_size = 1;
  std::function<std::vector<std::string>(const std::string&)> all_gather_bytes;  // by rank
};

// Collective: writes the parts, and `more` after them, which have to be equal on all ranks; an optimizer's state by the
// module's names. Returns when all is in place. Failure: the first rank's that failed, the same on every rank.
Status save_distributed_checkpoint(const std::string& folder, const CheckpointParts& parts,
                                   const CheckpointRanks& ranks, const checkpoint::Dict& more = {},
                                   const CheckpointKeys& keys = distributed_keys());

inline Status save_distributed_checkpoint(const std::string& folder, const CheckpointParts& parts, ProcessGroup& group,
                                          const checkpoint::Dict& more = {},
                                          const CheckpointKeys& keys = distributed_keys()) {
  const auto gather = [&group](const std::string& bytes) { return all_gather_bytes(group, bytes); };
  return save_distributed_checkpoint(folder, parts, CheckpointRanks{group.rank(), group.world_size(), gather}, more,
                                     keys);
}

}  // namespace ferrun::ddp
