#include "worker/ddp/distributed_sampler.h"

#include <limits>
#include <numeric>
#include <random>
#include <utility>

namespace ferrun::ddp {
namespace {

// From this size on torch.randperm draws 64 bits a position.
constexpr int64_t kLargePermutation = std::numeric_limits<uint32_t>::max() / 20;

// torch.randperm(n, generator=torch.Generator().manual_seed(seed)). torch's CPU generator is the standard mt19937 and
// keeps the seed's low 32 bits.
std::vector<int64_t> randperm(int64_t n, uint64_t seed) {
  std::mt19937 engine(static_cast<uint32_t>(seed));
  std::vector<int64_t> order(static_cast<size_t>(n));
  if (n < kLargePermutation) {
    std::iota(order.begin(), order.end(), 0);
    for (int64_t i = 0; i + 1 < n; ++i) {
      const int64_t other = i + static_cast<int64_t>(engine()) % (n - i);
      std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(other)]);
    }
    return order;
  }
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t high = engine();
    const auto other = static_cast<size_t>((high << 32 | engine()) % static_cast<uint64_t>(i + 1));
    order[static_cast<size_t>(i)] = order[other];
    order[other] = i;
  }
  return order;
}

}  // namespace

int64_t DistributedSampler::samples_per_rank() const {
  return drop_last ? dataset_size / world_size : (dataset_size + world_size - 1) / world_size;
}

int64_t DistributedSampler::padding() const {
  const int64_t own = dataset_size > rank ? (dataset_size - rank + world_size - 1) / world_size : 0;
  return own < samples_per_rank() ? samples_per_rank() - own : 0;
}

std::vector<int64_t> DistributedSampler::indices(int64_t epoch) const {
  if (dataset_size == 0) return {};
  std::vector<int64_t> order;
  if (shuffle) order = randperm(dataset_size, seed + static_cast<uint64_t>(epoch));
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
