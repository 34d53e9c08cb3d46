// A whole job in one thread under a virtual clock: hosts, agents, coordinators, their network, and what goes wrong. The
// machines are the real ones. Same plan and seed, same story, step by step.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/agent.h"
#include "tests/sim/coordinator_process.h"
#include "tests/sim/parts.h"

namespace ferrun::sim {

class World {
 public:
  World(const JobPlan& plan, std::optional<uint64_t> seed, Trace& trace, Coverage* coverage, Mutant* mutant);

  // To the end: through the plan's faults, the quiet after them, and the end of the job. Then whether all was well.
  std::optional<Violation> run();

  // --- Step by step, for scripts. ---
  void run_for(Duration time);
  void strike(const Fault& fault);
  // Nothing breaks any more, and workers that are started end with 0 when told to.
  void make_quiet();
  const std::optional<Violation>& violation() const { return parts_.checker.violation(); }
  TrueTime now() const { return parts_.now; }
  // What each node and the coordinator are doing, a line each.
  std::string status();
  const JobPlan& plan() const { return plan_; }

  uint64_t steps() const { return steps_; }
  size_t rounds() const { return parts_.checker.rounds(); }
  // How the job ended, for statistics.
  std::string ending() const;
  // From the moment at which nothing broke any more, in relation to what is allowed.
  double settled_share() const {
    return static_cast<double>(settled_after_.count()) / static_cast<double>(settle_bound().count());
  }

 private:
  enum class Milestone : uint64_t { kQuiet, kLook, kHeal, kHostUp, kStateFileWorks };
  enum class Stage { kFaults, kQuiet, kAbsorbing, kFinishing };

  void dispatch(Event event);
  void agent_event(const Event& event);
  void coordinator_event(const Event& event);
  void connection_event(Event event);
  // When the process that the connection's event is for can take it; none: there is no such process.
  std::optional<TrueTime> takes_at(ConnectionIndex connection, Side side) const;
  TrueTime free_at(const Agent& agent) const;
  TrueTime free_at(const CoordinatorProcess& coordinator) const;
  void after_step();
  void start_agent(uint32_t node);
  // False: the port is taken, or its state file is refused.
  bool start_coordinator(uint32_t host_agent);
  void start_seat_coordinator(uint32_t agent);
  // `arg` is that of kStartCoordinator.
  void start_coordinator_again(int arg);
  void stop_hosted(uint32_t agent, int signal);
  void let_processes_end();
  void strike_triggered();
  void milestone(const Event& event);

  // Faults, in faults.cc.
  void strike_node(FaultKind kind, uint32_t node, const Fault& fault);
  void kill_agent(Agent& agent);
  void lose_host(const Fault& fault);
  void kill_coordinator();
  void plan_milestone(Duration after, Milestone milestone, uint32_t who = 0);
  // No process stands still when all is to be well again.
  TrueTime stall_end(const Fault& fault) const;
  void fail_a_worker(Agent& agent, Fate fate);
  void succeed(Agent& agent, Duration spread);
  void hurt_peers(uint32_t agent);
  void cut(const Fault& fault);

  // The check of progress, in progress.cc.
  Duration settle_bound() const;
  Duration aftermath() const;
  void enter(Stage stage, Duration patience);
  void look();
  // Why all is not yet as it should be; empty: it is.
  std::string unsettled();
  std::string unsettled(uint32_t agent, bool round_runs, bool member);
  std::string unabsorbed();
  void let_all_succeed();
  std::string unended() const;
  void check_over();
  bool all_over() const;

  Agent* agent_of_node(uint32_t node);
  CoordinatorProcess* coordinator();  // the one that listens, and with etcd has the seat; null: none
  CoordinatorProcess* coordinator_at(HostIndex host) const;  // that runs there, whatever it may do
  CoordinatorProcess* hosted_by(uint32_t agent) const;
  void check_seats();

  const JobPlan& plan_;
  Parts parts_;
  std::vector<std::unique_ptr<Agent>> agents_;
  std::vector<uint32_t> agent_of_node_;  // the newest; kNone: not started
  std::vector<std::unique_ptr<CoordinatorProcess>> coordinators_;
  StateFile state_file_;
  std::deque<StateFile> etcd_states_;  // that each coordinator has found in etcd
  uint32_t host_node_ = 0;             // whose agent has hosted a coordinator last
  TrueTime no_descriptors_until_{};
  uint32_t next_cut_ = 1;
  std::vector<bool> struck_;  // of the faults with a trigger
  Stage stage_ = Stage::kFaults;
  TrueTime stage_since_{};
  TrueTime stage_end_{};
  Duration settled_after_{};
  RoundId hurt_;  // the newest round whose workers have lost a peer
  bool must_succeed_ = false;
  uint64_t steps_ = 0;
};

}  // namespace ferrun::sim
