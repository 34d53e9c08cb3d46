#include "worker/train/epoch_plan.h"

#include <algorithm>

namespace ferrun::train {

EpochPlan EpochPlan::make(const ddp::DistributedSampler& sampler, int64_t epoch, int64_t batch_size) {
  return {sampler.indices(epoch), sampler.samples_per_rank() - sampler.padding(), batch_size};
}

int64_t EpochPlan::batches() const { return (static_cast<int64_t>(indices.size()) + batch_size - 1) / batch_size; }

int64_t EpochPlan::counted_in_batch(int64_t batch, const std::vector<int64_t>& loaded) const {
  const int64_t first = batch * batch_size;
  const int64_t end = std::min(first + batch_size, static_cast<int64_t>(indices.size()));
  int64_t count = 0;
  size_t next = 0;
  for (int64_t position = first; position < end && next < loaded.size(); ++position) {
    if (loaded[next] == indices[static_cast<size_t>(position)]) {
      ++next;
      count += position < counted ? 1 : 0;
    }
  }
  return count;
}

}  // namespace ferrun::train
