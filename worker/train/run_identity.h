// What tells a run from others, as its checkpoints keep it: everything that its numbers depend on.
#pragma once

#include <string>

#include "worker/data/dataset.h"
#include "worker/train/checkpoint_content.h"
#include "worker/train/evaluation.h"
#include "worker/train/job.h"
#include "worker/train/options.h"

namespace ferrun::train {

// "fp32", "bf16" or "fp16".
std::string precision_name(const Arithmetic& arithmetic);

RunIdentity identity_of(const TrainOptions& options, const Job& job, const data::Split& split,
                        const Arithmetic& arithmetic);

}  // namespace ferrun::train
