// Whether the next attempt may begin, or waits for the GPU memory of the attempt before: the driver gives it back when
// it has taken a dead process apart, which may be after the process's end was told. A worker that begins before that
// runs out of memory, and costs one attempt more.
//
// Pure; a value, owned by the GpuWatch. The driver is asked elsewhere, and what it says is judged here.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/time.h"

namespace ferrun {

// Memory of a device that a process has, as the driver says.
struct HeldMemory {
  std::string device;  // "0000:41:00.0"
  int pid = 0;
  std::string name;        // the command; empty where there is no such process (any more)
  uint64_t bytes = 0;      // 0: not told
  bool since_then = true;  // had none when the attempt began
};

class GpuRelease {
 public:
  static constexpr Duration kLookAgain = std::chrono::milliseconds(50);

  // `dead`: the processes of the attempt, as far as they are known.
  GpuRelease(const std::vector<int>& dead, Duration patience, TimePoint now)
      : dead_(dead.begin(), dead.end()), began_(now), patience_(patience) {}

  struct Verdict {
    bool go = true;
    std::string line = {};  // for the user; empty: nothing to tell
  };
  // `held` is all that the driver tells of the devices now. A process counts that is known to be the attempt's, or has
  // ended and came after the attempt's begin: a worker's child that is nobody's any more. Others hold what they hold.
  Verdict judge(const std::vector<HeldMemory>& held, TimePoint now) const;

 private:
  std::set<int> dead_;
  TimePoint began_;
  Duration patience_;
};

}  // namespace ferrun
