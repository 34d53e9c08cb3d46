// Where a chart's axis begins and ends, and which round numbers stand on it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ferrun::report {

// From `low` to `high`, with ticks at the multiples of `step` between them.
struct Axis {
  double low = 0.0;
  double high = 1.0;
  double step = 0.2;

  // In rising order; at least one.
  std::vector<double> ticks() const;
  // With as many decimals as the step has; "1.5e-05" style where these are too many, or the number too large.
  std::string label(double tick) const;
  // 0 at `low`, 1 at `high`.
  double place(double value) const { return (value - low) / (high - low); }
};

// What an axis has to show, and what it may not exceed.
struct ValueRange {
  double low = 0.0;  // of the data; finite
  double high = 0.0;
  double floor = 0.0;    // the axis does not begin below,
  double ceiling = 1.0;  // nor end above
};

// Fits the data with a margin of a twentieth, in steps of 1, 2 or 5 times a power of ten, about five of them.
Axis value_axis(const ValueRange& range);

// Of whole numbers; `most_ticks` is at least 2.
Axis epoch_axis(int64_t first, int64_t last, int most_ticks);

}  // namespace ferrun::report
