// One start of ferrun on one host: the real node and hosting machines, and around them what their drivers, its sentinel
// and its workers would do. A stalled agent is not asked for anything; the World keeps its events until it goes on.
//
// Owned by the World.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/node/hosting_machine.h"
#include "launcher/node/node_machine.h"
#include "tests/sim/parts.h"
#include "tests/sim/processes.h"

namespace ferrun::sim {

class Agent {
 public:
  Agent(Parts& parts, uint32_t index, const NodePlan& node);

  void start();

  // --- The World's events, once the process is there to take them. ---
  void reads(ConnectionIndex connection, Parcel parcel);
  void loses(ConnectionIndex connection, LossKind kind, const std::string& why);
  void deadline(uint64_t generation);
  void hosting_deadline(uint64_t generation);
  void name_found();
  // That this agent hosts.
  void coordinator_done(const JobEnd& end) { tell_hosting(HostedJobEnded{end}); }
  void dial_again(uint64_t generation);
  void dial_times_out(ConnectionIndex connection);
  void notices_worker(uint64_t tag);
  void attempt_ready(uint64_t attempt);
  void swept(uint64_t attempt);
  void evidence_gathered(uint64_t question);
  void store_opened(uint64_t request);
  void store_dialled(uint64_t request);
  void signal(int number);

  // --- What happens whether the process can take it or not. ---
  void process_ends(uint64_t tag);
  void lease_over(uint64_t generation);
  // SIGKILL. The sentinel ends the workers, and the connection after them.
  void kill();
  // The host is gone.
  void vanish();
  void stall(TrueTime until);
  // The process ends, as the hosting machine has decided.
  void exit();

  bool running() const { return state_ == State::kRunning; }
  bool node_done() const { return end_.has_value(); }
  bool done() const { return state_ != State::kRunning; }
  TrueTime stalled_until() const { return stalled_until_; }
  const HostingMachine& hosting() const { return *hosting_; }
  const NodeMachine& machine() const { return *machine_; }
  const NodePlan& plan() const { return node_; }
  HostIndex host() const { return node_.host; }
  Processes& processes() { return processes_; }
  const Processes& processes() const { return processes_; }
  ConnectionIndex connection() const { return connection_; }
  bool connected() const { return connected_; }
  bool has_reached() const { return has_reached_; }  // a coordinator, once
  AgentId id() const { return id_; }

 private:
  enum class State { kNotStarted, kRunning, kExited, kKilled };
  struct StoreRequest {
    RoundId round;
    std::vector<std::string> addresses;
    uint16_t port = 0;
    TrueTime since{};
  };

  void step(const NodeEvent& event);
  void step_machine(const NodeEvent& event);
  void take_effects(const NodeEvent& event);
  void tell_group(int attempt, GroupEvent event);
  void plan_deadline();
  void tell_hosting(const HostingEvent& event);
  void plan_hosting_deadline();
  void dial();
  void end_unshared();
  void note(const std::string& tried);
  std::string where() const;  // the coordinator is, or should be
  void say(const std::string& line) { parts_.trace.line(parts_.now, node_.name, line); }

  void carry_out(const PrepareAttempt& effect);
  void carry_out(const ForeseeAttempt& effect);
  void carry_out(const BeginAttempt& effect);
  void carry_out(const StartWorker& effect);
  void carry_out(const SignalWorker& effect);
  void carry_out(const SweepAttempt& effect);
  void carry_out(const GatherEvidence& effect);
  void carry_out(const KillEverything& effect);
  void carry_out(const Say& effect);
  void carry_out(const Dial& effect);
  void carry_out(const HangUp& effect);
  void carry_out(const TellCoordinator& effect);
  void carry_out(const OpenStore& effect);
  void carry_out(const ReachStore& effect);
  void carry_out(const CloseStore& effect);
  void carry_out(const HoldLease& effect);
  void carry_out(const ShowStatus&) {}
  void carry_out(const LeaveJob& effect);
  void carry_out(const NodeDone& effect);

  void carry_out(const LookUpName& effect);
  void carry_out(const HostCoordinator& effect);
  void carry_out(const StopCoordinator& effect);
  void carry_out(const CloseCoordinator&) {}  // no name of the simulated world means two hosts
  void carry_out(const MakeLink&) {}          // where it leads to is looked at with every attempt
  void carry_out(const DialLink& effect);
  void carry_out(const HangUpLink& effect);
  void carry_out(const WithdrawFromSeat&) {}  // nor does it have an etcd
  void carry_out(const LeaveSeat&) {}
  void carry_out(const HolderIsGone&) {}
  void carry_out(const LeaveStorePort&) { store_port_left_ = true; }
  void carry_out(const HostingDone& effect);

  Parts& parts_;
  uint32_t index_;
  NodePlan node_;
  AgentId id_;
  State state_ = State::kNotStarted;
  TrueTime stalled_until_{};
  std::unique_ptr<NodeMachine> machine_;
  std::unique_ptr<HostingMachine> hosting_;
  std::deque<HostingEvent> facts_;
  bool telling_ = false;
  std::optional<TimePoint> planned_hosting_;
  uint64_t hosting_deadlines_ = 0;
  bool store_port_left_ = false;
  Processes processes_;
  std::vector<NodeEvent> answers_;  // to effects, as soon as all of a step are carried out
  std::optional<TimePoint> planned_deadline_;
  uint64_t deadlines_ = 0;
  std::vector<EvidenceGathered> evidence_;
  std::vector<StoreRequest> requests_;
  RoundId own_store_;
  ConnectionIndex connection_ = kNone;
  bool connected_ = false;
  bool dialling_ = false;
  bool has_reached_ = false;
  bool shared_ = true;  // the sentinel shares the connection
  uint64_t dials_ = 0;
  std::string tried_;
  std::optional<JobEnd> end_;
};

}  // namespace ferrun::sim
