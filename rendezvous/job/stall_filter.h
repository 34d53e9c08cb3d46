// Silence is judged only by who has listened: a process that stood still (SIGSTOP, a suspended machine, a busy one)
// finds every deadline over, while what would have kept them lies in its sockets. So before deadlines are judged, what
// has arrived is heard. Pure; owned by the machine or the adapter whose deadlines it protects.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "common/time.h"

namespace ferrun {

struct StallLimits {
  // A deadline that is noticed later than this shows that the process stood still. A loop that is merely busy is late
  // by milliseconds, and a heartbeat that is lost in a shorter stall is made up for by the next one.
  Duration late;
  // From then on so long nobody is judged. All that a node sends in a whole lease is read in a fraction of it.
  Duration drain;
  // While it drains, only a further stall of this length prolongs it: a machine that is always late must come to
  // decisions nevertheless.
  Duration late_again;
  // For who sees the turns of the event loop: what had arrived is heard after so many in a row that brought nothing,
  // and the drain ends before its time. One is not enough: a turn reads one piece of each socket, and accepts
  // connections before it reads them. 0: time alone.
  int quiet_turns = 0;
};

// Of the machines, which see events and times, and no sockets.
inline constexpr StallLimits kMachineStall{std::chrono::milliseconds(100), std::chrono::milliseconds(100),
                                           std::chrono::seconds(1)};
// Of the adapter that tells them the time. It waits at every deadline, which costs nothing where nothing comes; a flood
// of messages delays a deadline by this much and no more, and the machine then sees that it is late.
inline constexpr StallLimits kLoopStall{Duration::zero(), std::chrono::milliseconds(500), Duration::max(), 3};

class StallFilter {
 public:
  StallFilter(const StallLimits& limits, TimePoint now) : limits_(limits), judged_(now), drained_at_(now) {}

  // The clock has moved on, and `due` is the earliest deadline that stood until now.
  void notice(std::optional<TimePoint> due, TimePoint now) {
    if (due) {
      const bool draining = *due <= drained_at_;
      const TimePoint expected = std::max(*due, drained_at_);
      if (now - expected > (draining ? limits_.late_again : limits_.late)) drain(now);
    }
    if (now >= drained_at_) judged_ = now;
  }

  // Nobody is judged before what has arrived by now is heard.
  void drain(TimePoint now) {
    drained_at_ = now + limits_.drain;
    quiet_turns_ = 0;
  }

  // A turn of the loop is over. Returns whether the drain is.
  bool turn_over(bool brought_something, TimePoint now) {
    quiet_turns_ = brought_something ? 0 : quiet_turns_ + 1;
    if (limits_.quiet_turns > 0 && quiet_turns_ >= limits_.quiet_turns) drained_at_ = std::min(drained_at_, now);
    if (now >= drained_at_) judged_ = now;
    return now >= drained_at_;
  }

  // Deadlines up to this time are over; it stands still while the filter drains.
  TimePoint judged() const { return judged_; }
  bool is_over(TimePoint deadline) const { return judged_ >= deadline; }
  // When a deadline can be judged at the earliest.
  TimePoint judged_at(TimePoint deadline) const { return std::max(deadline, drained_at_); }

 private:
  StallLimits limits_;
  TimePoint judged_;
  TimePoint drained_at_;
  int quiet_turns_ = 0;
};

}  // namespace ferrun
