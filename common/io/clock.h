// The one place where pure code's TimePoint is read from the kernel.
#pragma once

#include <time.h>

#include <chrono>

#include "common/time.h"

namespace ferrun {

inline TimePoint monotonic_now() {
  return TimePoint(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

// Goes on while the machine sleeps: for leases, which others count on. Never mixed with monotonic_now() in one machine.
inline TimePoint boottime_now() {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return TimePoint(std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec));
}

}  // namespace ferrun
