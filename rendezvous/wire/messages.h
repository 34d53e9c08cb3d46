// What agents and the coordinator of a job say to each other, as values. message_codec turns them into bytes,
// frame_codec and session carry these. PROTOCOL.md tells the whole story. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/time.h"
#include "rendezvous/job/assignment.h"
#include "rendezvous/job/failure.h"
#include "rendezvous/job/ids.h"

namespace ferrun {

// --- Agent to coordinator. ---

// Something on which all agents of a job must agree: the size, the budget, timeouts, the program.
struct Term {
  std::string name;   // as the user writes it: "--nnodes"
  std::string value;  // "2:4"
  bool operator==(const Term&) const = default;
};

// What the workers of a member's newest round are doing.
enum class Work {
  kNone,      // no round yet
  kRunning,   // started, or about to be
  kStopping,  // being stopped; processes may be left
  kReaped,    // no process of the round is left
  kFinished,  // all of them ended with 0
};

// What the agent remembers of the newest round that it accepted; a coordinator that took over rebuilds its state of it.
struct MemberPast {
  RoundId round;
  Work work = Work::kNone;
  Assignment assignment;     // of that round
  int restarts = 0;          // spent, as far as this agent knows
  std::string launch_id;     // the job's, once a coordinator has said it
  bool any_success = false;  // a worker of that round has ended with 0 here
  bool operator==(const MemberPast&) const = default;
};

// The first message of a session: this agent takes part, or resumes after its connection broke.
struct Join {
  std::string host;                    // host name, for a person
  std::vector<std::string> addresses;  // numeric, by which other nodes may reach this one; the preferred one first
  int workers = 1;
  std::string role;
  std::optional<int> node_rank;  // as the user wishes it
  std::vector<Term> terms;
  MemberPast past;
  bool operator==(const Join&) const = default;
};

struct Heartbeat {
  uint64_t number = 0;  // grows by one
  bool operator==(const Heartbeat&) const = default;
};

// Answers Prepare: no process of an older round is left here. From rank 0's node: and the round's store listens.
struct Prepared {
  RoundId round;
  std::vector<std::string> store_addresses;  // from rank 0's node: numeric, in the order in which to try them
  uint16_t store_port = 0;
  bool operator==(const Prepared&) const = default;
};

// Answers Prepare or DialStore: this node cannot do its part.
struct NotPrepared {
  RoundId round;
  std::string reason;  // one line
  bool operator==(const NotPrepared&) const = default;
};

// Answers DialStore.
struct StoreReached {
  RoundId round;
  std::string address;  // the one that worked
  bool operator==(const StoreReached&) const = default;
};

// The first worker of this node has ended with 0: from now on newcomers disturb the round no more.
struct WorkerSucceeded {
  RoundId round;
  bool operator==(const WorkerSucceeded&) const = default;
};

// All workers of this node have ended with 0. The agent stays: the round may fail elsewhere, and is then run again.
struct NodeFinished {
  RoundId round;
  bool operator==(const NodeFinished&) const = default;
};

// A worker has failed here, and the node's others are being stopped. Sent at once.
struct NodeFailed {
  RoundId round;
  std::vector<LocalFailure> failures;  // own failures only, no victims; at least one
  bool operator==(const NodeFailed&) const = default;
};

// Answers Stop at once: the workers have been told to stop. Carries every failure of the node's own.
struct StopAcknowledged {
  RoundId round;
  std::vector<LocalFailure> failures;
  bool operator==(const StopAcknowledged&) const = default;
};

// No process of the round is left: after Stop, after a failure, and unasked when the node had to stop its workers by
// itself (its lease has ended, the coordinator was out of reach).
struct NodeReaped {
  RoundId round;
  bool operator==(const NodeReaped&) const = default;
};

// This agent leaves for good: its workers are gone already, or will be before its connection ends. Until then it goes
// on with its heartbeats: its lease still holds.
struct Goodbye {
  int signal = 0;      // that told it to; 0 for another reason
  std::string reason;  // one line
  bool operator==(const Goodbye&) const = default;
};

// Answers Close.
struct Closed {
  bool operator==(const Closed&) const = default;
};

// Answered by StatusReply.
struct StatusRequest {
  uint32_t id = 0;
  bool operator==(const StatusRequest&) const = default;
};

using MemberMessage = std::variant<Join, Heartbeat, Prepared, NotPrepared, StoreReached, WorkerSucceeded, NodeFinished,
                                   NodeFailed, StopAcknowledged, NodeReaped, Goodbye, Closed, StatusRequest>;

// --- Coordinator to agent. ---

// Answers Join.
struct Welcome {
  uint64_t incarnation = 0;
  // `ferrun coordinator`, or one that another agent succeeds: workers may run on without it while their lease lasts
  bool own_process = false;
  Duration lease{};  // from the sending of the last answered heartbeat
  Duration heartbeat_interval{};
  std::string launch_id;  // of the job: the same on all nodes through all rounds
  // The member's running round goes on, as far as the coordinator knows; a member whose workers run stops them without.
  bool resumed = false;
  bool operator==(const Welcome&) const = default;
};

// Answers Join, or ends a session later: this agent may not take part. It does not come back.
struct Refused {
  std::string reason;      // one line, naming both values where two differ
  bool try_again = false;  // the reason may pass (a barred node, a rank whose holder is silent)
  Duration after{};        // then not before this
  bool operator==(const Refused&) const = default;
};

struct HeartbeatAnswer {
  uint64_t number = 0;
  bool operator==(const HeartbeatAnswer&) const = default;
};

// What the job waits for; sent when the sentence changes, to agents that have no running workers.
struct Waiting {
  std::string sentence;
  bool round_runs = false;  // without this agent, which is a spare, or whose turn comes: that may last
  bool operator==(const Waiting&) const = default;
};

// First phase of a round. A member refuses one that is not newer than every round that it has accepted.
struct Prepare {
  Assignment assignment;
  bool open_store = false;            // rank 0's node
  std::vector<std::string> admitted;  // for open_store: addresses of all members, advertised and observed
  bool operator==(const Prepare&) const = default;
};

// Rank 0's node listens: reach it.
struct DialStore {
  RoundId round;
  std::vector<std::string> addresses;
  uint16_t port = 0;
  bool operator==(const DialStore&) const = default;
};

// Second phase: start the workers.
struct Go {
  RoundId round;
  std::string reason;  // of this round: "node3 joined", "rank 5 failed", for logs and status
  bool operator==(const Go&) const = default;
};

enum class StopKind {
  kFailure,     // of a worker somewhere: --failure-grace between SIGTERM and SIGKILL
  kMembership,  // a node comes or leaves, or a round was prepared in vain: --shutdown-timeout
  kEnd,         // the job ends: --shutdown-timeout
  kLoss,        // a node is gone, so that nothing that workers do together comes to an end: --failure-grace
  kLostPeer,    // a worker failed that only lost another: as kFailure, but others may first end by themselves
};

// Whether workers have --failure-grace between SIGTERM and SIGKILL; else --shutdown-timeout, to save what they have.
constexpr bool has_failure_grace(StopKind kind) {
  return kind == StopKind::kFailure || kind == StopKind::kLoss || kind == StopKind::kLostPeer;
}

// The round is over: stop its workers. Answered by StopAcknowledged at once and by NodeReaped when they are gone. Also
// for a round that was only prepared.
struct Stop {
  RoundId round;
  StopKind kind = StopKind::kFailure;
  std::string reason;
  bool operator==(const Stop&) const = default;
};

// The job is over. The agent stops what still runs, answers Closed and exits with the end's status.
struct Close {
  JobEnd end;
  bool operator==(const Close&) const = default;
};

// The state of the job as JSON text (job_status.h).
struct StatusReply {
  uint32_t id = 0;
  std::string json;
  bool operator==(const StatusReply&) const = default;
};

using CoordinatorMessage =
    std::variant<Welcome, Refused, HeartbeatAnswer, Waiting, Prepare, DialStore, Go, Stop, Close, StatusReply>;

}  // namespace ferrun
