// How long to wait before trying again: twice as long each time, between two bounds. Pure.
#pragma once

#include <algorithm>

#include "common/time.h"

namespace ferrun {

class Backoff {
 public:
  Backoff(Duration first, Duration most) : first_(first), most_(most), next_(first) {}

  Duration next() {
    const Duration now = next_;
    next_ = std::min(most_, 2 * next_);
    return now;
  }
  void reset() { next_ = first_; }

 private:
  Duration first_;
  Duration most_;
  Duration next_;
};

}  // namespace ferrun
