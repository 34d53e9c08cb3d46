// What must hold in every simulated job, whatever goes wrong (design: invariants). The world tells it what the
// coordinator and the members are told and do, and what is true of workers and processes; it never changes anything.
//
//   OneRound             at most one round of the job has running workers, anywhere
//   ReapedBeforeGo       no worker of an older round lives when a round is let go
//   RanksComplete        the ranks of a round are exactly 0..world-1, its node ranks 0..nodes-1, its role ranks alike
//   SameAssignment       a node starts what it was prepared for; all nodes name the same store, launch id and count
//   GroupSize            MIN <= nodes <= MAX
//   SparesIdle           only members of a round run its workers
//   SurvivorsKeepRanks   a node that was in the round before keeps its rank while the group is large enough
//   RankZeroStays        rank 0 moves only when its node is lost or leaves
//   WishesKept           --node-rank is exact for a fixed size
//   PreparedBeforeGo     every member has answered Prepare and reached the store
//   SavedBeforeTold      the state is on the disk before a round is let go, and before the job is closed
//   RoundsAreFresh       a number that was prepared is never prepared again, not even by the next coordinator; one that
//                        has lost its state goes by what members report
//   OwnState             a coordinator goes on with no state of another job
//   NoOldIncarnation     a node accepts and starts only rounds newer than all that it has accepted
//   LeaseHolds           no worker runs after its node's lease, stop bound added; none without a lease
//   NoOrphans            no process outlives its agent's exit; every stop ends within the grace and a margin
//   StopAtOnce           a failure or loss stops all other nodes in the same step
//   StopAnswered         a node answers Stop at once
//   RestartBudget        no more restarts than allowed
//   RestartCount         a failure spends one restart, goodbye and join none, a loss one only when early
//   ExitRules            what --on-exit says of the failure follows: no round, or one that costs nothing
//   RestartDelay         no round follows a failure sooner than its delay
//   SuccessKeepsRound    newcomers do not disturb a round in which a worker has ended with 0
//   DisturbsRarely       newcomers disturb at most once per scale interval
//   SuccessIsEarned      the job succeeds only when every rank of its newest round ended with 0
//   RootCauseFirst       the named cause is a failure of the round that ends, and not certainly later than its stop or
//   than
//                        another failure of which the coordinator knows
//   ExitStatusesAgree    an agent exits with the job's status, unless it has a reason of its own
//   CoordinatorLeavesLast  it ends when every connected member has acknowledged, or close_timeout is over
//   HostLeavesLast       an agent ends after the coordinator that it hosts, or when its time to leave is over
//   PortsDoNotCollide    no store is opened at the port of a coordinator in another process of its machine
//   HeartbeatsGoOn       a connected node is heard in time, whatever it sweeps
//   OneCoordinator       with etcd: at most one agent may act as the coordinator
//   SeatedWrites         with etcd: only who has the seat writes the state
//   StateGoesForward     with etcd: no state is written over a newer one
//   DeadlineNotPast      after a step no deadline lies in the past
//   ClosedIsSilent       a machine that is done does nothing more
//   Progress             when nothing breaks any more, all nodes run in one round or have ended, within the bound
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "launcher/node/node_machine.h"
#include "rendezvous/coordinator/saved_state_policy.h"
#include "tests/sim/job_plan.h"
#include "tests/sim/network.h"

namespace ferrun::sim {

struct Violation {
  std::string invariant;
  std::string what;
};

class Checker {
 public:
  Checker(const JobPlan& plan, const Network& network, const TrueTime& now)
      : plan_(plan), network_(network), now_(now) {}

  const std::optional<Violation>& violation() const { return violation_; }
  void fail(const char* invariant, std::string what);

  // --- Nodes. ---
  void agent_started(uint32_t agent, const NodePlan& node, AgentId id);
  void agent_told_to_leave(uint32_t agent, int signal);
  void agent_died(uint32_t agent);
  // Before the coordinator that it hosts is done.
  void host_leaves(uint32_t agent);
  void agent_stalls(uint32_t agent, TrueTime until);
  // By its own decision, with `alive` processes left.
  void node_done(uint32_t agent, const JobEnd& end, int alive);
  void node_hears(uint32_t agent, const NodeEvent& event, TimePoint local_now);
  void node_does(uint32_t agent, const NodeEvent& event, const std::vector<NodeEffect>& effects, TimePoint local_now);
  // After every step of a node and every end of a process.
  void lease(uint32_t agent, int alive, TimePoint local_now);
  void node_settled(uint32_t agent, bool done, std::optional<TimePoint> deadline, TimePoint local_now);

  // --- Processes, as they really are. ---
  void worker_started(uint32_t agent, RoundId round, const Processes::Worker& worker);
  void worker_ended(uint32_t agent, RoundId round, const Processes::Worker& worker, bool left_a_stray);
  void stray_ended(uint32_t agent, RoundId round);
  void worker_noticed(uint32_t agent, RoundId round, const Processes::Worker& worker);
  void processes_vanished(uint32_t agent, RoundId round, int alive);

  // --- The coordinator. ---
  // `due`: what it has to make of its file; `taken`: with what it really goes on.
  void coordinator_started(uint32_t coordinator, const StateVerdict& due, const std::optional<CoordinatorState>& taken);
  void coordinator_hears(uint32_t coordinator, CoordinatorMachine::Phase phase, const CoordinatorEvent& event,
                         TrueTime sent);
  void coordinator_does(uint32_t coordinator, CoordinatorMachine::Phase before, CoordinatorMachine::Phase after,
                        const CoordinatorEvent& event, const std::vector<CoordinatorEffect>& effects);
  void state_on_disk(const CoordinatorState& state) { on_disk_ = state; }
  // `first`: there was none.
  void state_in_etcd(const CoordinatorState& state, bool first);
  void coordinator_settled(bool closed, std::optional<TimePoint> deadline, TimePoint local_now);

  // --- For the check of progress. ---
  const std::optional<JobEnd>& closing() const { return closing_; }
  int live_processes() const { return live_; }
  RoundId live_round() const { return live_round_; }
  // The newest round that was let go, its members; none before the first one.
  RoundId newest_round() const { return went_.value_or(RoundId{}); }
  std::vector<uint32_t> members() const;
  bool success_reported() const;
  size_t rounds() const { return rounds_.size(); }
  // Has told that all its workers have ended with 0.
  bool finished(uint32_t agent) const;
  // The same, to the coordinator of now.
  bool finish_is_known(uint32_t agent) const;
  // Takes part, as far as the coordinator knows.
  bool joined(uint32_t agent) const { return connected(nodes_[agent]); }
  bool refused(uint32_t agent) const { return nodes_[agent].put_off; }
  std::string name(uint32_t agent) const { return agent == kNone ? "nobody" : nodes_[agent].plan.name; }

 private:
  struct Node {
    NodePlan plan;
    AgentId id;
    // The lease as it really is: from the sending of what was answered last.
    TimePoint join_sent{};
    std::vector<std::pair<uint64_t, TimePoint>> heartbeats;
    std::optional<TimePoint> answered;
    Duration lease{};
    std::optional<TimePoint> lease_end;
    bool leased = false;
    RoundId accepted;
    RoundId started;
    std::optional<int> told_to_leave;
    std::optional<JobEnd> told_end;
    bool refused = false;
    bool put_off = false;  // refused for now
    bool done = false;
    TrueTime done_at{};
    std::optional<TrueTime> last_beat;  // on the newest connection
    std::optional<TrueTime> died;
    std::optional<TrueTime> stop_began;  // of the newest attempt
    TrueTime stalled_until{};
    // As the coordinator sees it.
    bool joined = false;
    bool goodbye = false;
    bool end_awaited = false;  // could be heard when it was told the end
    bool acknowledged = false;
    TrueTime last_arrival{};
    ConnectionIndex connection = kNone;
    TrueTime asked{};  // Prepare or DialStore
    std::optional<Duration> round_trip;
  };
  struct Slot {
    uint32_t agent = kNone;
    Assignment assignment;
    bool prepared = false;
    bool dials = false;  // has been told where the store is
    bool reached = false;
    bool told_go = false;
    bool started = false;
    bool finished = false;
    uint32_t finish_known_to = kNone;  // the newest coordinator that was told
    bool lost = false;
    int succeeded = 0;  // workers
  };
  struct Round {
    RoundId id;
    uint32_t coordinator = kNone;
    std::vector<Slot> slots;  // by node rank
    bool went = false;
    bool stopped = false;
    TrueTime went_at{};
    TrueTime stopped_at{};
    int charge_least = 0;  // restarts that its end may spend
    int charge_most = 0;
    bool success_reported = false;
    StoreAddress store;
    std::string launch_id;
  };
  struct Failure {
    RoundId round;
    uint32_t agent = kNone;
    Fate fate = Fate::kExit;
    bool lost_peer = false;  // it only lost its connection to another rank
    TrueTime ended{};
    TrueTime noticed{};
    std::optional<TrueTime> arrived;  // at the coordinator, in time to be judged
    Duration travelled{};
    Duration uncertain{};  // by as much the coordinator may believe it to be older
  };

  const Round* find(RoundId round) const;
  Round* find(RoundId round) { return const_cast<Round*>(std::as_const(*this).find(round)); }
  static const Slot* find(const Round& round, uint32_t agent);
  static Slot* find(Round& round, uint32_t agent) { return const_cast<Slot*>(find(std::as_const(round), agent)); }
  uint32_t agent_of(ConnectionId connection) const;
  bool connected(const Node& node) const;
  bool silent(const Node& node) const;

  // Checks of rounds, in checker_rounds.cc.
  void told(uint32_t coordinator, uint32_t agent, const CoordinatorMessage& message, const CoordinatorEvent& cause);
  void prepares(uint32_t coordinator, uint32_t agent, const Prepare& message);
  void goes(uint32_t agent, RoundId id);
  void formed(Round& round);
  void check_ranks(const Round& round);
  void check_members(const Round& round);
  void check_restarts(Round& round);
  void check_policy(const Round& before, int spent);
  // What rules say of the failures of which one was the cause; empty where that is not known.
  std::set<OnExit> consequences(const Round& round) const;
  void stops(uint32_t agent, const Stop& message, const CoordinatorEvent& cause);
  void note_cause(Round& round, const Stop& message, const CoordinatorEvent& cause);
  bool loss_is_plausible(const Round& round) const;
  void check_all_go(RoundId id);
  void check_stop(CoordinatorMachine::Phase after, const CoordinatorEvent& event);
  void closes(uint32_t agent, const JobEnd& end);
  void check_success();
  void leaves();
  void begins(uint32_t agent, const BeginAttempt& begin);
  void node_says(uint32_t agent, const MemberMessage& message, TimePoint local_now);
  void member_says(uint32_t agent, const PeerSaid& said, TrueTime sent);
  void beats(Node& node);
  void stop_ends(const Node& node, int alive);
  void process_is_gone(RoundId round);
  void note_loss(Round& round, uint32_t agent);
  void note_end(Round& round, TrueTime noticed);
  void note_dropping_out(uint32_t agent, RoundId id);
  void note_finish(Slot& slot) const;

  // Root causes, in checker_causes.cc.
  // The node has answered what it was asked last for the round `answered`, which exists.
  void note_round_trip(Node& node, RoundId answered) const;
  void note_failures(uint32_t agent, RoundId round, const std::vector<LocalFailure>& failures, TrueTime sent);
  void check_root_cause(const JobEnd& end);
  // `line` names the worker that is taken for the first that has failed.
  void check_root_cause(const std::string& line);

  const JobPlan& plan_;
  const Network& network_;
  const TrueTime& now_;
  std::optional<Violation> violation_;
  std::vector<Node> nodes_;
  std::vector<Round> rounds_;
  std::map<int, Failure> failures_;  // by pid
  RoundId live_round_;
  int live_ = 0;
  std::optional<RoundId> went_;  // the newest
  std::optional<TrueTime> last_scaling_;
  CoordinatorState on_disk_;
  bool disk_fails_ = false;
  bool wants_cause_ = false;  // in this phase of the coordinator failures count
  std::optional<JobEnd> closing_;
  TrueTime closing_since_{};           // it began to save its end, or found that saved
  uint32_t coordinator_ = kNone;       // the newest
  bool state_lost_ = false;            // by the newest coordinator
  RoundId reported_;                   // to it, the newest
  bool coordinator_leaves_ = false;    // it was told to
  std::vector<uint32_t> stopped_now_;  // whom this step has told to stop or to close
};

}  // namespace ferrun::sim
