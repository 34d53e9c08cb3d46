// The first lines of a run: what is trained on what, where and how.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "worker/data/dataset.h"
#include "worker/train/evaluation.h"
#include "worker/train/job.h"
#include "worker/train/options.h"
#include "worker/train/run_log.h"

namespace ferrun::train {

void announce_run(RunLog& log, const TrainOptions& options, const Job& job, const data::Split& split,
                  const Arithmetic& arithmetic, const std::vector<at::Tensor>& parameters,
                  const std::string& directory);

}  // namespace ferrun::train
