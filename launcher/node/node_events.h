// What the node machine is told and what it asks for: plain values between it and its driver. What concerns the rounds
// alone are the facts and effects of rendezvous/member/member_events.h.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/result.h"
#include "launcher/config/job_config.h"
#include "launcher/report/local_failure.h"
#include "launcher/workers/group_events.h"
#include "rendezvous/member/member_events.h"

namespace ferrun {

// --- Facts. Those that belong to an attempt carry its number. ---

struct AttemptReady {
  int attempt = 0;
};

struct AttemptNotReady {
  int attempt = 0;
  Error error;
};

// Nothing of the attempt is left, and its output is drained.
struct AttemptSwept {
  int attempt = 0;
};

// RankStarted, RankNotStarted, RankNotForked, RankEnded or SignalMissed of the attempt's group.
struct WorkerFact {
  int attempt = 0;
  GroupEvent event;
};

// The template could not start, or died.
struct TemplateUnusable {
  std::string reason;
};

// A signal to ferrun. The same one may arrive twice: schedulers, systemd and `pkill -f` signal every process.
struct SignalArrived {
  int signal = 0;
  bool direct = false;         // at the agent itself, not passed on by its sentinel
  bool from_terminal = false;  // a key: the workers, in sessions of their own, did not get it
  bool from_above = false;     // from a process that ferrun descends from, or from outside of its container
};

struct SentinelDied {};

struct DeadlineArrived {};

// Answers GatherEvidence, for the same workers.
struct EvidenceGathered {
  int attempt = 0;
  std::vector<FailedWorker> workers;
  bool store_unvisited = false;  // the round's store is served here, and no worker has reached it
};

// AttemptReady and AttemptNotReady answer PrepareAttempt, AttemptSwept answers SweepAttempt, WorkerFact answers
// StartWorker and tells of ends. CoordinatorReached, CoordinatorGone and DialNote follow a Dial; the Store facts answer
// OpenStore and ReachStore.
using NodeEvent =
    std::variant<AttemptReady, AttemptNotReady, AttemptSwept, WorkerFact, EvidenceGathered, TemplateUnusable,
                 SignalArrived, SentinelDied, DeadlineArrived, CoordinatorReached, CoordinatorGone, CoordinatorSaid,
                 DialNote, StoreOpened, StoreNotOpened, StoreAnswered, StoreUnreachable, StatusAsked>;

// --- Effects, to be carried out in their order. ---

// Folders and, when asked for, the template; answered by AttemptReady or AttemptNotReady.
struct PrepareAttempt {
  int attempt = 0;
  bool with_template = false;
};

// This attempt probably comes: its folders may be made while the one before it is swept. Not answered; a
// PrepareAttempt finds them. What was made for an attempt that did not come is removed at the end.
struct ForeseeAttempt {
  int attempt = 0;
};

// Answered by RankStarted or RankNotStarted; from the template also by RankNotForked.
struct StartWorker {
  int attempt = 0;
  int local_rank = 0;
  bool from_template = false;
};

// Answered by SignalMissed when the worker had already ended.
struct SignalWorker {
  int attempt = 0;
  int local_rank = 0;
  pid_t pid = 0;
  int signal = 0;
  bool first = false;  // of those that are to end it: what it has written by now is nobody's answer to them
};

// See what is left of the attempt to its end, and drain its output; answered by AttemptSwept.
struct SweepAttempt {
  int attempt = 0;
  Duration grace = std::chrono::seconds(1);  // for helpers of the dead to end by themselves; then they are killed
};

struct KillEverything {};

struct Say {
  LogLevel level = LogLevel::kInfo;
  std::string line;
};

// What the workers of this attempt are told, before the first of them is started: it stands in every WorkerPlace of
// the attempt.
struct BeginAttempt {
  int attempt = 0;
  Assignment assignment;
  StoreAddress store;
  std::string launch_id;  // of the job: FERRUN_LAUNCH_ID
};

// Read the error files and the ends of stderr of these workers, and whether the kernel killed one of them for want of
// memory. Of the same worker it may be asked twice, first to see at once what kind of failure it is. What has arrived
// so far is enough: it is answered at once, since other nodes go on until they hear of it.
struct GatherEvidence {
  int attempt = 0;
  std::vector<int> local_ranks;
};

// ferrun is told to end by a signal: a coordinator in the same process is, too.
struct LeaveJob {
  int signal = 0;
};

// The last effect. No process of the job is left, unless the sentinel died.
struct NodeDone {
  JobEnd end;
  int exit_status = 0;             // after --exit-code=torchrun
  std::vector<std::string> lines;  // for the terminal, safe for it; the root cause last
  // For a failed job and a worker of this node that failed by itself in the last attempt, the first one: its error file
  // goes to ferrun's own parent when that asked for one.
  std::optional<int> failed_local_rank;
  std::string failure;  // "rank 5 (local_rank 1, pid 4711) exited with code 3": when it wrote no error file
  int failure_status = 0;
  std::vector<LocalFailure> failures;  // this node's own, of the last attempt; unless all went well
  bool abandoned = false;              // the sentinel died: nothing is worth waiting for
};

// PrepareAttempt asks for the folders and, when told so, the template; the store of a round is OpenStore's. It comes as
// soon as the attempt before it is swept, and at the very beginning, while the other nodes are waited for.
using NodeEffect = std::variant<PrepareAttempt, ForeseeAttempt, BeginAttempt, StartWorker, SignalWorker, SweepAttempt,
                                GatherEvidence, KillEverything, Say, Dial, HangUp, TellCoordinator, OpenStore,
                                ReachStore, CloseStore, HoldLease, ShowStatus, LeaveJob, NodeDone>;

}  // namespace ferrun
