#include "worker/data/randperm.h"

#include <limits>
#include <numeric>
#include <random>
#include <utility>

namespace ferrun::data {

// torch's CPU generator is the standard mt19937 and keeps the seed's low 32 bits.
std::vector<int64_t> randperm(int64_t n, uint64_t seed) {
  // From this size on torch draws 64 bits a position.
  constexpr int64_t kLargePermutation = std::numeric_limits<uint32_t>::max() / 20;
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

}  // namespace ferrun::data
