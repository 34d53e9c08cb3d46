// A limit on a rate that lets bursts pass. A pure value: `now` is passed in.
#pragma once

#include <algorithm>

#include "common/time.h"

namespace ferrun {

class TokenBucket {
 public:
  TokenBucket(double per_second, double burst) : per_second_(per_second), burst_(burst), tokens_(burst) {}

  // Whether one more may pass now. The first call starts the clock.
  bool take(TimePoint now) {
    const double seconds = std::chrono::duration<double>(now - last_).count();
    if (started_ && seconds > 0) tokens_ = std::min(burst_, tokens_ + seconds * per_second_);
    started_ = true;
    last_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  double per_second_;
  double burst_;
  double tokens_;
  TimePoint last_{};
  bool started_ = false;
};

}  // namespace ferrun
