// What has become of one round's workers on this node. Pure.
#pragma once

#include <optional>
#include <vector>

#include "common/time.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

// How many bytes of report the failures of one message may hold; beyond it the earlier failures keep theirs and the
// later ones keep their first line.
inline constexpr size_t kFailuresReportBytes = 24 << 10;
inline constexpr size_t kMostFailures = 64;

class MemberWork {
 public:
  RoundId round;  // whose workers these are, or were
  Work state = Work::kNone;
  std::optional<StopKind> stop;  // the strictest one asked for so far
  bool killed = false;           // asked no longer
  bool any_success = false;
  bool failures_known = false;  // to the coordinator: it has stopped the round since

  // Whether processes of the round may be left.
  bool alive() const { return state == Work::kRunning || state == Work::kStopping; }

  bool failed() const { return !failures_.empty(); }
  void note(std::vector<LocalFailure> failures, TimePoint now);
  // All that are known, with their ages at `now`.
  std::vector<LocalFailure> failures(TimePoint now) const;

 private:
  struct Known {
    LocalFailure failure;
    TimePoint noticed;
  };
  std::vector<Known> failures_;
};

// Fits a message: see kFailuresReportBytes.
std::vector<LocalFailure> bounded(std::vector<LocalFailure> failures);

}  // namespace ferrun
