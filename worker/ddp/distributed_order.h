// torch.utils.data.DistributedSampler's order, index for index. Free of LibTorch.
#pragma once

#include <cstdint>
#include <vector>

namespace ferrun::ddp {

struct DistributedOrder {
  int64_t dataset_size = 0;
  int64_t world_size = 1;
  int64_t rank = 0;
  bool shuffle = true;
  uint64_t seed = 0;
  bool drop_last = false;

  int64_t samples_per_rank() const;
  // This rank's indices for `epoch`: torch.randperm seeded by seed + epoch, padded from the front (or truncated with
  // drop_last) to a multiple of the world size, every world_size-th from `rank` on.
  std::vector<int64_t> indices(int64_t epoch) const;
  // Of samples_per_rank() positions, how many at the end are padding for this rank: duplicates that a metric counts
  // once.
  int64_t padding() const;
};

}  // namespace ferrun::ddp
