// What a bench says of the times that it took.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace ferrun::bench {

// Of an even number of values the mean of the two in the middle. `values` must not be empty.
inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// The 99th percentile by nearest rank: the smallest value that is not below 99 % of them, which of less than a hundred
// values is the largest. `values` must not be empty.
inline double p99(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(std::ceil(0.99 * static_cast<double>(values.size()))) - 1];
}

}  // namespace ferrun::bench
