#include "worker/report/axis.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace ferrun::report {
namespace {

// The smallest of 1, 2, 5 × 10ⁿ that is at least `least`.
double round_step(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    // Powers of ten below 1 are not exact: a step that differs in the last digit is the same step.
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10.0 * power;
}

}  // namespace

std::vector<double> Axis::ticks() const {
  std::vector<double> ticks;
  const double slack = 1e-9 * step;
  const double first = std::ceil((low - slack) / step);
  for (double i = first; i * step <= high + slack; ++i) ticks.push_back(i * step);
  if (ticks.empty()) ticks.push_back(low);
  return ticks;
}

std::string Axis::label(double tick) const {
  const int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
  char text[48];
  if (decimals > 4 || std::fabs(tick) >= 1e6) {
    std::snprintf(text, sizeof text, "%.4g", tick);
  } else {
    std::snprintf(text, sizeof text, "%.*f", decimals, tick == 0.0 ? 0.0 : tick);
  }
  return text;
}

Axis value_axis(const ValueRange& range) {
  // Equal values get an axis about them, which still shows that they are equal.
  const double least_extent = std::max(std::fabs(range.high) * 1e-3, 1e-6);
  const double extent = std::max(range.high - range.low, least_extent);
  const double middle = range.low + (range.high - range.low) / 2;
  Axis axis;
  axis.low = std::max(middle - extent * 0.55, range.floor);
  axis.high = std::min(middle + extent * 0.55, range.ceiling);
  if (axis.high - axis.low < least_extent) {
    axis.low = std::max(axis.high - least_extent, range.floor);
    axis.high = axis.low + least_extent;
  }
  constexpr double kSteps = 6.0;
  axis.step = round_step((axis.high - axis.low) / kSteps);
  return axis;
}

Axis epoch_axis(int64_t first, int64_t last, int most_ticks) {
  const double extent = static_cast<double>(last - first);
  const double margin = std::max(0.03 * extent, first == last ? 0.5 : 0.1);
  Axis axis;
  axis.low = std::max(static_cast<double>(first) - margin, first >= 1 ? 0.25 : -margin);  // there is no epoch 0
  axis.high = static_cast<double>(last) + margin;
  axis.step = std::max(1.0, round_step(std::max(extent, 1.0) / (most_ticks - 1)));
  return axis;
}

}  // namespace ferrun::report
