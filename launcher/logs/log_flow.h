// Decides whether the readers of workers' output go on, wait or lose lines when the queue of one destination fills up.
//
// A destination that is only slower than the workers makes them wait for it, as it would if they wrote to it
// themselves, and loses nothing: whatever it takes counts as progress. One that stands still delays nobody for longer
// than the patience: first those go on whose output can be fetched later, and then all others, whose lines are lost.
// Thread rule: none, a value.
#pragma once

#include <cstddef>
#include <optional>

#include "common/time.h"

namespace ferrun {

class LogFlow {
 public:
  enum class Verdict {
    kAccept,
    kWait,
    kLate,  // what can be fetched later need not wait; it stays so until the destination has caught up
    kLose,
  };

  struct Limits {
    size_t high = 0;      // queued bytes from which readers wait
    size_t low = 0;       // queued bytes at which they go on
    Duration late{};      // the standstill from which output is fetched later; not below `patience`: never
    Duration patience{};  // the standstill from which lines are lost
  };

  explicit LogFlow(Limits limits) : limits_(limits) {}

  // What to do with output that is ready now while `queued` bytes wait for a destination that last took some at
  // `moved_at`.
  Verdict judge(size_t queued, TimePoint moved_at, TimePoint now);

  // While readers wait: when judge() has to be asked again at the latest.
  std::optional<TimePoint> next_deadline() const;

 private:
  bool can_be_late() const { return limits_.late < limits_.patience; }

  Limits limits_;
  Verdict verdict_ = Verdict::kAccept;
  TimePoint still_since_{};
};

}  // namespace ferrun
