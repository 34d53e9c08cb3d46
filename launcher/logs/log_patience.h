// How long destinations of workers' output that stand still are waited for. Pure; values.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "common/time.h"
#include "launcher/logs/log_flow.h"

namespace ferrun {

enum class LogDestination {
  kTerminal,  // shows the present: it is not caught up
  kReader,    // of a pipe: gets later what a log file has
  kFile,
};

struct LogPatience {
  Duration terminal = std::chrono::seconds(1);  // how long a stopped one delays its writers, once
  Duration reader = std::chrono::seconds(10);   // the same of a pipe, for streams without a file
  Duration file = std::chrono::seconds(10);
};

// Readers wait from half of the queue on until a quarter is left; a pipe's that can be caught up later, for a second.
inline LogFlow::Limits flow_limits(LogDestination to, size_t queue_bytes, const LogPatience& patience) {
  constexpr Duration kLateAfter = std::chrono::seconds(1);
  LogFlow::Limits limits{queue_bytes / 2, queue_bytes / 4, patience.file, patience.file};
  if (to == LogDestination::kTerminal) limits.late = limits.patience = patience.terminal;
  if (to == LogDestination::kReader) {
    limits.patience = patience.reader;
    limits.late = std::min(kLateAfter, patience.reader / 2);
  }
  return limits;
}

// How long what is queued is waited for at the end: for as long as the destination takes something.
class LastWait {
 public:
  // A destination is given up after standing still for `standstill`, of which what lies before `since` is not held
  // against it. Whoever hung before used up the patience: the next one must still get its share, or a dead disk would
  // take the failure report off the screen. A `standstill` of 0 waits for nothing.
  LastWait(TimePoint since, Duration standstill, TimePoint now)
      : since_(since),
        standstill_(standstill),
        at_least_(now + (standstill == Duration{} ? Duration{} : kLastChance)) {}

  // `moved`: when the destination last took something.
  TimePoint given_up(TimePoint moved) const { return std::max(std::max(moved, since_) + standstill_, at_least_); }

  // Somebody does not want to wait any more: only a moment is left.
  void hurry() { standstill_ = std::min(standstill_, kLastChance); }
  bool can_hurry() const { return standstill_ > kLastChance; }

 private:
  static constexpr Duration kLastChance = std::chrono::milliseconds(200);

  TimePoint since_;
  Duration standstill_;
  TimePoint at_least_;
};

}  // namespace ferrun
