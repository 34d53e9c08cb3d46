// What an attempt left behind, and when each of it is killed. Helpers that clean up after a dead worker (Python's
// resource tracker and torch's shared-memory manager unlink its shared memory as soon as they are alone) need a moment
// for it, and may not notice while another left-over holds their pipe. So everything may end by itself for half of the
// grace; then whatever is no such helper is killed, and the helpers have the other half. After that SIGKILL goes to all
// of it, again and again, because an orphan comes to light when its parent is gone. Pure; a value, owned by the sweep.
#pragma once

#include <algorithm>
#include <chrono>
#include <string_view>

#include "common/time.h"

namespace ferrun {

enum class LeftOver {
  kWorker,  // no left-over: killed at once
  kHelper,  // only cleans up after another process
  kOther,
};

// Whether the process with this command line (/proc/PID/cmdline: arguments that end with NUL) is such a helper.
inline bool cleans_up(std::string_view command_line) {
  const std::string_view program = command_line.substr(0, command_line.find('\0'));
  if (program.substr(program.rfind('/') + 1) == "torch_shm_manager") return true;
  // python -c 'from multiprocessing.resource_tracker import main;main(7)'; joblib's has a module path of its own
  return command_line.find("resource_tracker import main") != std::string_view::npos;
}

class SweepPlan {
 public:
  // While a sweep is `going_on` the shorter grace counts for both.
  void begin(Duration grace, bool going_on, TimePoint now) {
    others_at_ = going_on ? std::min(others_at_, now + grace / 2) : now + grace / 2;
    all_at_ = going_on ? std::min(all_at_, now + grace) : now + grace;
  }

  bool is_due(LeftOver what, TimePoint now) const {
    switch (what) {
      case LeftOver::kWorker: return true;
      case LeftOver::kHelper: return now >= all_at_;
      case LeftOver::kOther: return now >= others_at_;
    }
    return true;
  }

  // When time alone makes a difference; `workers`: some are left, which are signalled already.
  TimePoint next_look(bool workers, TimePoint now) const {
    // SIGKILL again, for one that was not permitted to be signalled while it had another user's id.
    constexpr std::chrono::milliseconds kSignalAgain{100};
    if (workers || now >= all_at_) return now + kSignalAgain;
    return now < others_at_ ? others_at_ : all_at_;
  }

  // From then on everything has had its signal.
  TimePoint all_at() const { return all_at_; }

 private:
  TimePoint others_at_{};
  TimePoint all_at_{};
};

}  // namespace ferrun
