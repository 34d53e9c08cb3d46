#include "worker/train/epoch_plan.h"

#include <algorithm>

namespace ferrun::train {

int64_t share_of(int64_t samples, const Shard& shard) {
  return samples <= shard.rank ? 0 : (samples - shard.rank + shard.world_size - 1) / shard.world_size;
}

EpochPlan EpochPlan::make(std::span<const int64_t> order, int64_t done, int64_t global_batch_size, const Shard& shard) {
  EpochPlan plan;
  plan.global_batch_size = global_batch_size;
  plan.shard = shard;
  plan.batch_size = share_of(global_batch_size, shard);
  const std::span<const int64_t> rest = order.subspan(static_cast<size_t>(std::min(done, std::ssize(order))));
  plan.samples = std::ssize(rest);
  for (int64_t batch = 0; batch < plan.batches(); ++batch) {
    const int64_t first = batch * global_batch_size;
    for (int64_t j = shard.rank; j < plan.samples_in(batch); j += shard.world_size) {
      plan.indices.push_back(rest[static_cast<size_t>(first + j)]);
    }
  }
  return plan;
}

int64_t EpochPlan::batches() const { return (samples + global_batch_size - 1) / global_batch_size; }

int64_t EpochPlan::samples_in(int64_t batch) const {
  return std::clamp<int64_t>(samples - batch * global_batch_size, 0, global_batch_size);
}

int64_t EpochPlan::own_samples_in(int64_t batch) const { return share_of(samples_in(batch), shard); }

}  // namespace ferrun::train
