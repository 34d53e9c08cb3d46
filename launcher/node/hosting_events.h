// What the hosting machine is told and what it asks for: plain values between it and whoever carries them out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/endpoint.h"
#include "common/result.h"
#include "launcher/node/node_events.h"
#include "rendezvous/coordinator/host_election.h"
#include "rendezvous/wire/messages.h"

namespace ferrun {

// --- Facts. ---

// Answers LookUpName.
struct NameFound {
  std::vector<EndpointAddress> addresses;
  std::vector<HostAddress> own;  // all addresses of this host at that moment
  std::string error;             // why the name has no address
  bool round_begun = false;      // by the coordinator that this agent hosts
};

// Answers HostCoordinator: it listens, and decides for the job from now on.
struct HostingBegan {
  std::vector<IpAddress> here;  // where this agent reaches it
};

// Answers HostCoordinator.
struct HostingFailed {
  enum class Why {
    kTaken,    // another process of this machine has the port: another agent, or a stranger
    kNotHere,  // no address of this machine, after all
    kRefused,  // by the machine, or by what an earlier coordinator has left
  };
  Why why = Why::kRefused;
  Error error;
};

// Where the job's seat says who coordinates it: this agent has taken it, another one has it and was reached there, or
// this agent has it no more.
struct SeatTaken {};
struct SeatElsewhere {
  Endpoint endpoint;  // for words, and the port
  std::vector<IpAddress> addresses;
  int64_t lease = 0;  // of this holder alone
};
struct SeatGone {
  std::string why;
};

// The node machine's Dial and HangUp.
struct DialWanted {};
struct HangUpWanted {};

// Follows DialLink.
struct LinkReached {
  bool same_machine = false;  // the other end has an address of this machine
};

// Answers HangUpLink: what was queued has been sent, or given up.
struct LinkHungUp {};
// The connection that was reached has ended.
struct LinkGone {};
// At every address of the coordinator somebody has said that nobody listens there.
struct LinkRefused {};

// The hosted coordinator has told everybody that the job is over.
struct HostedJobEnded {
  JobEnd end;
};

// This process is told to end by a signal.
struct EndAsked {
  int signal = 0;
};

// The node machine is done.
struct NodeEnded {
  bool abandoned = false;  // the sentinel is dead: nothing is worth waiting for
};

struct HostingDeadline {};

using HostingEvent =
    std::variant<NameFound, SeatTaken, SeatElsewhere, SeatGone, HostingBegan, HostingFailed, DialWanted, HangUpWanted,
                 LinkReached, LinkHungUp, LinkGone, LinkRefused, HostedJobEnded, EndAsked, NodeEnded, HostingDeadline>;

// --- Effects, to be carried out in their order. Say is that of node_events.h. ---

// Once, whatever comes of it.
struct LookUpName {};

struct HostCoordinator {
  HostElection election;
};

struct StopCoordinator {
  int signal = 0;  // 0: its agent leaves for another reason
};

// The hosted coordinator goes without a word: it has begun no round and its place is elsewhere, or its seat is gone.
struct CloseCoordinator {};

// A way to the coordinator, in place of the one that there is: to these addresses, or to those of the endpoint's name.
struct MakeLink {
  std::optional<Endpoint> at;  // in place of the endpoint
  std::vector<IpAddress> here;
};

struct DialLink {};
struct HangUpLink {};

// This agent takes the job's seat no more; what it has it keeps to the job's end.
struct WithdrawFromSeat {};
// It cannot host the coordinator: the seat is another one's.
struct LeaveSeat {};
// The process of whoever has the seat by this lease has ended.
struct HolderIsGone {
  int64_t lease = 0;
};

// The store of a round may not have the port of --master-port: this machine's coordinator, another process, has it.
struct LeaveStorePort {};

// The last effect: the process ends. By `error`, by `signal`, or as the node machine or the coordinator's end says.
struct HostingDone {
  std::optional<Error> error;
  int signal = 0;
  std::optional<JobEnd> end;  // of the coordinator, in a process of its own
};

using HostingEffect =
    std::variant<LookUpName, HostCoordinator, StopCoordinator, CloseCoordinator, MakeLink, DialLink, HangUpLink,
                 WithdrawFromSeat, LeaveSeat, HolderIsGone, LeaveStorePort, Say, HostingDone>;

}  // namespace ferrun
