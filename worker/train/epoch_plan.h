// One rank's part of one epoch: which samples, in which batches, and which of them count in metrics. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/ddp/distributed_sampler.h"

namespace ferrun::train {

struct EpochPlan {
  std::vector<int64_t> indices;  // dataset indices in order of loading
  // the first so many count; the rest pads the ranks to equal length and is seen elsewhere
  int64_t counted = 0;
  int64_t batch_size = 1;

  static EpochPlan make(const ddp::DistributedSampler& sampler, int64_t epoch, int64_t batch_size);

  int64_t batches() const;
  // Of the samples that batch number `batch` came with, the first so many count. `loaded` may lack samples of the plan
  // (broken pictures that were skipped) but keeps their order.
  int64_t counted_in_batch(int64_t batch, const std::vector<int64_t>& loaded) const;
};

}  // namespace ferrun::train
