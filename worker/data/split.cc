#include "worker/data/split.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ferrun::data {

bool are_fractions_of_one(const std::vector<double>& fractions) {
  const auto in_range = [](double fraction) { return fraction >= 0.0 && fraction <= 1.0; };
  const double sum = std::accumulate(fractions.begin(), fractions.end(), 0.0);
  return std::all_of(fractions.begin(), fractions.end(), in_range) && std::abs(sum - 1.0) <= 1e-9;
}

std::vector<int64_t> split_sizes(int64_t size, const std::vector<double>& fractions) {
  std::vector<int64_t> sizes;
  for (const double fraction : fractions)
    sizes.push_back(static_cast<int64_t>(std::floor(static_cast<double>(size) * fraction)));
  const int64_t left = size - std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  for (int64_t i = 0; i < left; ++i) ++sizes[static_cast<size_t>(i) % sizes.size()];
  return sizes;
}

}  // namespace ferrun::data
