// What a simulated job is: its hosts, nodes and settings, and everything that is going to go wrong. Plain values, made
// by a seed (random_job.h) or by a script (script.h).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rendezvous/coordinator/coordinator_machine.h"
#include "rendezvous/member/member_machine.h"
#include "tests/sim/clock.h"
#include "tests/sim/processes.h"

namespace ferrun::sim {

struct HostPlan {
  Duration distance = std::chrono::microseconds(500);
  Duration clock_offset{};
  int64_t clock_ppm = 0;
};

// One start of ferrun on one host.
struct NodePlan {
  uint32_t host = 0;
  std::string name;
  int workers = 1;
  std::string role = "default";
  std::optional<int> node_rank;
  std::vector<Term> terms;
};

enum class FaultKind {
  kNone,
  kStartNode,       // who: node
  kRestartNode,     // who: node: starts ferrun again on its host, with a new id
  kWorkerFails,     // who: node; arg: Fate
  kAnyWorkerFails,  // of the nodes that run some; arg: Fate
  kNodeSucceeds,    // who: node: its workers end with 0, one after the other, within `lasts`
  kEverybodySucceeds,
  kKillAgent,         // who: node: SIGKILL; its sentinel kills the workers
  kLoseHost,          // who: node: its power; comes back after `lasts`, without ferrun
  kStall,             // who: node, for `lasts`
  kTerm,              // who: node
  kTermAll,           // within `lasts`
  kResetConnection,   // who: node; arg 0: both sides learn of it, 1: the node, 2: the coordinator
  kBlackhole,         // who: node: its connection passes nothing any more
  kCut,               // hosts of `who`; one-way by `arg` (0 both, 1 outwards, 2 inwards), for `lasts`
  kCutAgents,         // the same, but workers still reach each other
  kCutWorkers,        // the same, but agents still reach the coordinator
  kSlowHost,          // who: node: `lasts` of distance from now on
  kStallCoordinator,  // for `lasts`
  kKillCoordinator,   // of its own process; hosted: the agent that hosts it
  kStartCoordinator,  // hosted: the agent that hosted it last; arg 1: its state is lost, 2: another job's is in its
                      // place
  kTermCoordinator,   // of its own process
  kStateFileFails,    // for `lasts`; with etcd: it has no quorum
  kNoDescriptors,     // the coordinator accepts nobody, for `lasts`
};

// When a fault strikes: at a time, or with the nth effect of a kind of the coordinator.
enum class Trigger { kTime, kPrepare, kGo, kStop, kSave, kClose };
inline constexpr size_t kTriggers = 6;

struct Fault {
  FaultKind kind = FaultKind::kNone;
  Trigger trigger = Trigger::kTime;
  int nth = 1;    // with a trigger
  Duration at{};  // since the beginning, or since the trigger
  std::vector<uint32_t> who;
  Duration lasts{};
  int arg = 0;
};

struct JobPlan {
  std::vector<HostPlan> hosts;
  std::vector<NodePlan> nodes;    // started by kStartNode
  uint32_t coordinator_host = 0;  // hosted: also the host of node 0, and of others
  CoordinatorConfig coordinator;  // min, max, own_process, all durations; identities are filled in
  MemberConfig member;            // durations; identities are filled in
  WorkerHabits workers;
  // In the coordinator's file before the first one starts.
  std::optional<CoordinatorState> left_state;
  Duration left_state_age{};
  // What the endpoint's name means before it means the coordinator's host: an address where nobody listens, or none.
  uint32_t name_before = ~uint32_t{0};
  Duration name_right_at{};
  Duration port_free_at{};         // before that an agent of an earlier job has the endpoint's port
  bool with_etcd = false;          // a seat in etcd says who coordinates the job, in place of the endpoint
  int percent_etcd_late = 0;       // of what is sent to it and from it: late, or lost
  uint32_t etcd_host = 0;          // where its servers are, as far as the network goes
  bool store_shares_port = false;  // --master-port is the endpoint's
  int per_mille_unshared = 0;      // a connection that the sentinel gets no copy of: no descriptor was left
  int loss_per_mille = 0;
  int percent_casualties = 60;  // of the workers whose peer has died: those that fail for it
  Duration slowest_timer = std::chrono::milliseconds(2);
  Duration slowest_disk = std::chrono::milliseconds(5);
  Duration slowest_evidence{};  // of a worker's failure
  int per_mille_no_store = 0;   // a store cannot be opened
  std::vector<Fault> faults;
  Duration quiet_at{};  // all faults have struck, all that they broke is whole again
};

}  // namespace ferrun::sim
