#include "worker/ddp/epoch_plan.h"

#include <algorithm>

namespace ferrun::ddp {

int64_t share_of(int64_t samples, const Shard& shard) {
  return samples <= shard.rank ? 0 : (samples - shard.rank + shard.world_size - 1) / shard.world_size;
}

EpochPlan EpochPlan::make(std::span<const int64_t> order, int64_t done, int64_t global_batch_size, const Shard& shard,
                          int64_t least_share) {
  EpochPlan plan;
  plan.global_batch_size = global_batch_size;
  plan.least_share = least_share;
  plan.shard = shard;
  plan.batch_size = share_of(global_batch_size, shard);
  const std::span<const int64_t> rest = order.subspan(static_cast<size_t>(std::min(done, std::ssize(order))));
  plan.samples = std::ssize(rest);
  for (int64_t batch = 0; batch < plan.batches(); ++batch) {
    const int64_t first = batch * global_batch_size;
    const Shard dealt = plan.shard_in(batch);
    if (dealt.rank >= dealt.world_size) continue;
    for (int64_t j = dealt.rank; j < plan.samples_in(batch); j += dealt.world_size) {
      plan.indices.push_back(rest[static_cast<size_t>(first + j)]);
    }
  }
  return plan;
}

int64_t EpochPlan::batches() const {
  const int64_t full = samples / global_batch_size, left = samples % global_batch_size;
  return left == 0 || (left < least_share && full > 0) ? full : full + 1;
}

int64_t EpochPlan::samples_in(int64_t batch) const {
  const int64_t left = std::max<int64_t>(0, samples - batch * global_batch_size);
  return batch + 1 == batches() ? left : std::min(left, global_batch_size);
}

Shard EpochPlan::shard_in(int64_t batch) const {
  return {std::clamp<int64_t>(samples_in(batch) / least_share, 1, shard.world_size), shard.rank};
}

int64_t EpochPlan::own_samples_in(int64_t batch) const {
  const Shard dealt = shard_in(batch);
  return dealt.rank < dealt.world_size ? share_of(samples_in(batch), dealt) : 0;
}

}  // namespace ferrun::ddp
