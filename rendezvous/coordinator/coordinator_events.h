// What the coordinator machine is told and what it asks for: plain values between it and its driver.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "rendezvous/job/rendezvous_log.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

// One authenticated connection; never used twice by one driver.
using ConnectionId = uint64_t;

enum class LossKind {
  kEndOfStream,  // the other side has closed: its process, and all that ran below it, is gone
  kReset,        // may be the network's doing: the peer may come back
  kLocal,        // closed here: a protocol error, a peer that does not read
};

// What is left of a node that was in an earlier coordinator's round, as far as this machine can tell.
enum class Remains {
  kUnknown,  // its workers may run until its lease is over
  kDying,    // agent and sentinel are dead; what was killed with them has as long to die as a sentinel's kill takes
  kNone,     // every process of the job on it is gone
};

// What has to survive the coordinator. Written before a round starts, and before the job is closed.
struct CoordinatorState {
  uint64_t incarnation = 0;
  RoundId newest;  // the newest round that may have started
  struct Member {
    AgentId agent;
    std::string host;
    int node_rank = 0;
    // That nothing is left is saved; what else may be known is found out when the state is taken up.
    Remains remains = Remains::kUnknown;
    bool operator==(const Member&) const = default;
  };
  std::vector<Member> members;  // of the newest round
  int restarts = 0;             // spent
  std::string launch_id;
  std::vector<Term> terms;
  std::optional<JobEnd> closed;
  std::string job_id;
  bool operator==(const CoordinatorState&) const = default;
};

// --- Facts. ---

// A session is authenticated; its first message follows as PeerSaid.
struct PeerArrived {
  ConnectionId connection = 0;
  AgentId agent;
  std::string observed_address;  // numeric, as the coordinator's host sees it
};

struct PeerSaid {
  ConnectionId connection = 0;
  MemberMessage message;
};

struct PeerLost {
  ConnectionId connection = 0;
  LossKind kind = LossKind::kEndOfStream;
  std::string why;  // one line
};

// Answers SaveState.
struct StateSaved {
  uint64_t ticket = 0;
  std::string error;  // empty: it is on the disk
};

// More has become known of a node in an earlier coordinator's round.
struct RemainsFound {
  AgentId agent;
  Remains remains = Remains::kUnknown;
};

// The coordinator's process is told to end by a signal. Hosted by an agent: that agent leaves.
struct CoordinatorStopped {
  int signal = 0;
};

struct CoordinatorDeadline {};

using CoordinatorEvent =
    std::variant<PeerArrived, PeerSaid, PeerLost, StateSaved, RemainsFound, CoordinatorStopped, CoordinatorDeadline>;

// --- Effects, to be carried out in their order. ---

struct Tell {
  ConnectionId connection = 0;
  CoordinatorMessage message;
};

// One message for many: encoded once.
struct TellAll {
  std::vector<ConnectionId> connections;
  CoordinatorMessage message;
};

// Sends what is queued, then closes. No PeerLost follows.
struct Disconnect {
  ConnectionId connection = 0;
};

// Answered by StateSaved with the same ticket.
struct SaveState {
  uint64_t ticket = 0;
  CoordinatorState state;
};

// The last effect: nobody needs this coordinator any more. A standalone one exits with `end`.
struct CoordinatorDone {
  JobEnd end;
};

using CoordinatorEffect = std::variant<Tell, TellAll, Disconnect, SaveState, RendezvousSay, CoordinatorDone>;

}  // namespace ferrun
