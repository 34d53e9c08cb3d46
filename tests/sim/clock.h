// Time in the simulated world. `TrueTime` is the world's own, which nobody in it can read; every host has a clock that
// started somewhere else and runs a little faster or slower. Two types, so that the two never mix.
#pragma once

#include "common/time.h"

namespace ferrun::sim {

struct TrueClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<TrueClock, duration>;
  static constexpr bool is_steady = true;
};
using TrueTime = TrueClock::time_point;

class HostClock {
 public:
  HostClock() = default;
  // Shows `offset` at the world's beginning and gains `ppm` microseconds a second.
  HostClock(Duration offset, int64_t ppm) : offset_(offset.count()), ppm_(ppm) {}

  TimePoint at(TrueTime time) const {
    const int64_t t = time.time_since_epoch().count();
    return TimePoint(Duration(offset_ + t + t / kMillion * ppm_ + t % kMillion * ppm_ / kMillion));
  }

  // The first moment at which this clock shows `local` or more.
  TrueTime when(TimePoint local) const {
    const int64_t shown = local.time_since_epoch().count() - offset_;
    const int64_t rate = kMillion + ppm_;
    TrueTime time(Duration(shown / rate * kMillion + shown % rate * kMillion / rate));
    while (at(time) < local) time += Duration(1);
    return time;
  }

 private:
  static constexpr int64_t kMillion = 1'000'000;
  int64_t offset_ = 0;
  int64_t ppm_ = 0;
};

}  // namespace ferrun::sim
