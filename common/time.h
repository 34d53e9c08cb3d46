// Monotonic time as a value. Pure code receives `now` as an argument; only drivers read a clock.
#pragma once

#include <chrono>

namespace ferrun {

using Duration = std::chrono::nanoseconds;

// A clock without `now()`: pure code cannot read it. Drivers convert from CLOCK_MONOTONIC (`io/` folders).
struct MonotonicClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};
using TimePoint = MonotonicClock::time_point;

}  // namespace ferrun
