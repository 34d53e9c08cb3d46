// What a node tells of a worker that failed, and how a whole job ends. Pure values.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "common/exit_status.h"
#include "common/time.h"

namespace ferrun {

// How well a failure explains itself, best first. Of failures whose order cannot be told the better explanation is the
// root cause. The last two are the cause only where nobody tells of anything before them in this list.
enum class FailureKind {
  kOutOfMemory,
  kSignal,      // ended by a signal that ferrun did not send
  kLostNode,    // the whole node vanished: made by the coordinator
  kExit,        // a non-zero exit code
  kNotStarted,  // never ran; `status` is the exit status that ferrun gives for it
  kCutShort,    // ferrun stopped it, but it was ending by an exception of its own
  kLostPeer,    // only lost its connection to another rank
};

// Whether it may have been the first, without a look at the time.
constexpr bool explains_itself(FailureKind kind) { return kind < FailureKind::kCutShort; }

// How long at most the workers of a job whose first failures were but victims may end by themselves, so that the one
// that is to blame can say so, before they are asked to.
inline constexpr Duration kLastWords = std::chrono::seconds(2);

struct LocalFailure {
  int local_rank = 0;
  int rank = 0;
  FailureKind kind = FailureKind::kExit;
  ExitStatus status = ExitStatus::exited(1);
  // Time since the node noticed it, when the message was sent. No clock of one node is compared with another's.
  Duration age{};
  // Lines for a person, safe for a terminal; the first says what happened ("rank 5 (local_rank 1, pid 4711) exited with
  // code 3"), the others are evidence: message, last lines of stderr, path of the log. At most kReportBytes in all.
  std::vector<std::string> report;
  static constexpr size_t kReportBytes = 4096;
  bool operator==(const LocalFailure&) const = default;
};

// How the job ended, as every agent tells it and exits with it.
struct JobEnd {
  enum class Kind {
    kSuccess,
    kFailed,      // a worker failed and no restart was left
    kStopped,     // told to stop by a signal
    kRendezvous,  // no group could be formed: too few nodes, a lost coordinator, a timeout
    kRefused,     // this agent may not take part: wrong token, other terms, a rank that is taken
  };
  Kind kind = Kind::kSuccess;
  int exit_status = 0;
  // For a person; the root cause last. Empty for a success.
  std::vector<std::string> report;
  bool operator==(const JobEnd&) const = default;
};

}  // namespace ferrun
