#include "worker/ddp/distributed_order.h"

#include <cstddef>

#include "worker/data/randperm.h"

namespace ferrun::ddp {

int64_t DistributedOrder::samples_per_rank() const {
  return drop_last ? dataset_size / world_size : (dataset_size + world_size - 1) / world_size;
}

int64_t DistributedOrder::padding() const {
  const int64_t own = dataset_size > rank ? (dataset_size - rank + world_size - 1) / world_size : 0;
  return own < samples_per_rank() ? samples_per_rank() - own : 0;
}

std::vector<int64_t> DistributedOrder::indices(int64_t epoch) const {
  if (dataset_size == 0) return {};
  std::vector<int64_t> order;
  if (shuffle) order = data::randperm(dataset_size, seed + static_cast<uint64_t>(epoch));
  std::vector<int64_t> mine(static_cast<size_t>(samples_per_rank()));
  int64_t position = rank;
  for (int64_t& index : mine) {
    // Positions behind the end are padding: the list again from the front, as often as needed.
    const int64_t wrapped = position % dataset_size;
    index = shuffle ? order[static_cast<size_t>(wrapped)] : wrapped;
    position += world_size;
  }
  return mine;
}

}  // namespace ferrun::ddp
