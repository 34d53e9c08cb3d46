// Rank 0 decides where the run writes and which checkpoint it continues; all ranks read that one together, once, from
// rank 0's file. A rank's peak memory is what the checkpoint holds.
#pragma once

#include <string>
#include <variant>

#include "worker/checkpoint/value.h"
#include "worker/ddp/process_group.h"
#include "worker/train/ending.h"
#include "worker/train/output_plan.h"

namespace ferrun::train {

struct SharedStart {
  OutputPlan plan;
  checkpoint::Value checkpoint;  // none when the run begins afresh
};

// The same answer on every rank. Nothing is written.
std::variant<SharedStart, Ending> share_start(const OutputRequest& request, ddp::ProcessGroup& group);

// Rank 0's: makes the directory, or says why it cannot be written to.
Status make_output_directory(const std::string& path);

// Rank 0's: copies best_model.pt from beside the checkpoint into the run's directory, unless that is the same. False
// when there is none in the end.
bool bring_best_along(const std::string& checkpoint, const std::string& directory);

}  // namespace ferrun::train
