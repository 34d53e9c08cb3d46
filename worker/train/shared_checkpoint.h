// Rank 0 decides where the run writes, reads the checkpoint, and gives both to all ranks: only its node needs the
// files.
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

// The same answer on every rank. The output directory exists afterwards.
std::variant<SharedStart, Ending> share_start(const OutputRequest& request, ddp::ProcessGroup& group);

}  // namespace ferrun::train
