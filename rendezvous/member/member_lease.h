// Until when a member's workers may run: heartbeats, their answers, and the lease that these give. Pure.
//
// The lease runs from the *sending* of the last answered heartbeat (a Join that was welcomed counts as one), so that
// the coordinator, which counts from its arrival, never believes it over while it is not.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "common/time.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

class MemberLease {
 public:
  // Under a coordinator of its own, which may be away for long while workers run on: so many heartbeats without an
  // answer, and another connection is tried.
  static constexpr int kSilentHeartbeats = 5;

  // A session begins: `welcome` answers the Join that was sent at `joined`. Its times are brought into a sane range.
  void begin(const Welcome& welcome, TimePoint joined, TimePoint now);
  // The session is over. The lease goes on to its end.
  void end_session();

  // The next heartbeat, which is due at next_heartbeat(). Only in a session.
  Heartbeat send(TimePoint now);
  // An answer to one that was never sent, or not in this session, is ignored.
  void answered(uint64_t number);

  // None before the first session.
  std::optional<TimePoint> end() const { return end_; }
  bool over(TimePoint now) const { return !end_ || *end_ <= now; }
  // None outside of a session.
  std::optional<TimePoint> next_heartbeat() const {
    return in_session_ ? std::optional(next_heartbeat_) : std::nullopt;
  }
  // When the coordinator counts as silent; none outside of a session.
  std::optional<TimePoint> silent_at() const { return in_session_ ? std::optional(heard_ + silence_) : std::nullopt; }
  Duration length() const { return length_; }

 private:
  struct Sent {
    uint64_t number;
    TimePoint at;
  };

  bool in_session_ = false;
  Duration length_{};
  Duration interval_{};
  Duration silence_{};
  uint64_t number_ = 0;    // of the last one sent; grows through all sessions
  std::deque<Sent> sent_;  // in this session, without an answer
  TimePoint next_heartbeat_{};
  TimePoint heard_{};
  std::optional<TimePoint> end_;
};

}  // namespace ferrun
