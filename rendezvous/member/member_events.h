// What the member machine is told and what it asks for: plain values between it and whoever owns it.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/time.h"
#include "rendezvous/coordinator/coordinator_events.h"

namespace ferrun {

// --- Facts. Those that belong to a round carry its id; others than the member's newest are dropped in one place. ---

// A session with the coordinator is authenticated.
struct CoordinatorReached {
  ConnectionId connection = 0;
  std::string where;  // "node0 (10.0.0.1), port 29400"
};

struct CoordinatorGone {
  ConnectionId connection = 0;
  LossKind kind = LossKind::kEndOfStream;
  std::string why;
};

struct CoordinatorSaid {
  ConnectionId connection = 0;
  CoordinatorMessage message;
};

// What the dialler has tried since Dial: one line, whenever it changes. With `final` no further attempt will help (the
// coordinator refused the token, the job or the version by name).
struct DialNote {
  std::string tried;
  bool final = false;
};

// Answers OpenStore.
struct StoreOpened {
  RoundId round;
  std::vector<std::string> addresses;
  uint16_t port = 0;
};

struct StoreNotOpened {
  RoundId round;
  std::string reason;
  int exit_status = kExitRendezvous;  // of a job that has no other node
};

// Answers ReachStore.
struct StoreAnswered {
  RoundId round;
  std::string address;
};

struct StoreUnreachable {
  RoundId round;
  std::string reason;
};

// A worker of the round ended with 0; the first one counts.
struct OneWorkerSucceeded {
  RoundId round;
};

// All local workers ended with 0, and no process of theirs is left.
struct AllWorkersSucceeded {
  RoundId round;
};

// Own failures of local workers; the owner has begun to stop the others. Ages are those at this moment.
struct WorkersFailed {
  RoundId round;
  std::vector<LocalFailure> failures;
  std::string start_error = {};  // why the first of them never ran, for whoever has to mend it; empty: it ran
};

// No process of the round is left, after a failure or a stop.
struct WorkersGone {
  RoundId round;
};

// ferrun is told to end by a signal.
struct LeaveAsked {
  int signal = 0;
  bool now = false;  // somebody insists: the workers are left no time
};

// This node leaves the job on its own account and ends so: its folders cannot be made, its program cannot be run.
struct CannotTakePart {
  JobEnd end;
};

struct StatusAsked {
  uint32_t id = 0;
};

struct MemberDeadline {};

using MemberEvent =
    std::variant<CoordinatorReached, CoordinatorGone, CoordinatorSaid, DialNote, StoreOpened, StoreNotOpened,
                 StoreAnswered, StoreUnreachable, OneWorkerSucceeded, AllWorkersSucceeded, WorkersFailed, WorkersGone,
                 LeaveAsked, CannotTakePart, StatusAsked, MemberDeadline>;

// --- Effects, to be carried out in their order. ---

// Reach the coordinator, trying again until CoordinatorReached; in place of an earlier connection or attempt. An
// earlier connection is reset, not ended in order: the end of a stream tells the coordinator that no process is left
// here.
struct Dial {};

// Ends the attempts, or the connection: sends what is queued, then closes. Asked for with a connection only when no
// process of the job is left here. No CoordinatorGone follows.
struct HangUp {};

struct TellCoordinator {
  MemberMessage message;
};

// Answered by StoreOpened or StoreNotOpened. An older round's store is closed first.
struct OpenStore {
  RoundId round;
  std::vector<std::string> admitted;
};

// Answered by StoreAnswered or StoreUnreachable.
struct ReachStore {
  RoundId round;
  std::vector<std::string> addresses;
  uint16_t port = 0;
};

struct CloseStore {};

struct StartWorkers {
  Assignment assignment;
  StoreAddress store;
  std::string launch_id;
  std::string reason;
};

// Answered by WorkersGone when no process of the round is left. May be asked again with a stricter kind.
struct StopWorkers {
  RoundId round;
  StopKind kind = StopKind::kFailure;
  int signal = 0;      // to ask with: SIGTERM, or the one that ferrun itself was sent
  std::string reason;  // the cause: "node3 joined"
};

// Without asking: the lease has ended. Answered by WorkersGone.
struct KillWorkers {
  RoundId round;
  std::string reason;
};

// No worker may live after `until`; the sentinel sees to it even when the agent stands still. None: no limit (no worker
// runs).
struct HoldLease {
  std::optional<TimePoint> until;
};

struct ShowStatus {
  uint32_t id = 0;
  std::string json;
};

// The last effect: exit with it.
struct MemberDone {
  JobEnd end;
};

using MemberEffect = std::variant<Dial, HangUp, TellCoordinator, OpenStore, ReachStore, CloseStore, StartWorkers,
                                  StopWorkers, KillWorkers, HoldLease, ShowStatus, RendezvousSay, MemberDone>;

}  // namespace ferrun
