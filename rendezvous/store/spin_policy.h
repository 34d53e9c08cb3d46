// Whether the store should look for the next request for some microseconds before its thread sleeps. Pure.
//
// To wake a sleeping thread takes longer than most clients take to ask again. But a look that finds nothing costs
// processor time, and where processors are short it keeps the client from asking: then it is tried ever more rarely.
#pragma once

#include <algorithm>

#include "common/time.h"

namespace ferrun {

class SpinPolicy {
 public:
  static constexpr Duration kPatience = std::chrono::microseconds(60);

  explicit SpinPolicy(int processors = 1) : processors_(processors) {}

  // Asked once for each time the thread has been woken. Each client needs a processor of its own beside the store's.
  bool worth_it(int clients) {
    if (clients >= processors_) return false;
    if (left_out_ < leave_out_) {
      ++left_out_;
      return false;
    }
    left_out_ = 0;
    return true;
  }

  // A request came in time, or none did.
  void paid() { leave_out_ = 0; }
  void wasted() { leave_out_ = std::min(2 * leave_out_ + 1, kMostLeftOut); }

 private:
  static constexpr int kMostLeftOut = 255;

  int processors_;
  int leave_out_ = 0;  // times, before the next try
  int left_out_ = 0;
};

}  // namespace ferrun
