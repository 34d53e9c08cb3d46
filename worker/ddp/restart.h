// What a training loop has to know of being stopped and started again, in three calls:
//
//   client::Context here = client::context_from_environment();    // where am I: rank, world, which attempt
//   auto path = ddp::resume_path(*group, "checkpoints");          // resume from what, the same on all ranks
//   if (ddp::save_now(*group)) { …save and leave… }               // asked to stop, agreed by all ranks at this step
//
// With client::note_stop_signals() before the loop, and client::time_to_stop() for how long the save may take. Thread
// rule: both are collective; one thread a rank.
#pragma once

#include <optional>
#include <string>

#include "ferrun/client.h"
#include "worker/ddp/process_group.h"

namespace ferrun::ddp {

// Rank 0's newest checkpoint of a CheckpointSaver's folder; none where it has none. The other ranks see it under the
// same path, or are given its content by the program.
std::optional<std::string> resume_path(ProcessGroup& group, const std::string& folder);

// Whether any rank has noted a signal that asks it to stop. The same answer on every rank: they save the same step. One
// all-reduce of a number.
bool save_now(ProcessGroup& group);

}  // namespace ferrun::ddp
