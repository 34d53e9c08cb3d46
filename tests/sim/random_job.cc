#include "tests/sim/random_job.h"

#include <algorithm>
#include <numeric>

#include "tests/sim/random.h"
#include "tests/sim/state_file.h"

namespace ferrun::sim {
namespace {

using namespace std::chrono_literals;

class Planner {
 public:
  Planner(uint64_t seed, std::optional<int> nodes, bool with_etcd)
      : random_(seed ^ 0x5eed5eed5eedu), policy_(seed ^ 0xf01dedu) {
    plan_.with_etcd = with_etcd;
    nodes_ = nodes ? *nodes : random_.chance(5) ? random_.pick(200, 260) : random_.pick(3, 16);
    large_ = nodes_ > 32;
  }

  JobPlan plan() {
    plan_size();
    plan_times();
    plan_hosts();
    plan_nodes();
    if (plan_.with_etcd) plan_etcd();
    plan_hosting();
    plan_starts();
    const int faults = random_.chance(10) ? 0 : random_.pick(1, large_ ? 4 : 9);
    for (int i = 0; i < 3; ++i) moments_.push_back(random_.between(1s, window()));
    for (int i = 0; i < faults; ++i) add_fault();
    add_ends();
    leave_states();
    plan_policy();
    plan_.quiet_at = quiet_at();
    return std::move(plan_);
  }

 private:
  Duration window() const { return large_ ? 12s : 35s; }

  void plan_size() {
    CoordinatorConfig& c = plan_.coordinator;
    c.job_id = "job";
    c.own_process = random_.chance(40) && !plan_.with_etcd;
    c.has_successors = plan_.with_etcd;
    if (random_.chance(45)) {
      const int spares = random_.chance(40) ? random_.pick(1, 2) : 0;
      c.min_nodes = c.max_nodes = std::max(1, nodes_ - spares);
    } else {
      c.min_nodes = random_.pick(1, nodes_);
      c.max_nodes = random_.pick(c.min_nodes, nodes_ + 1);
    }
    c.max_restarts = random_.pick(0, 3);
  }

  void plan_times() {
    CoordinatorConfig& c = plan_.coordinator;
    MemberConfig& m = plan_.member;
    c.heartbeat_interval = large_ ? 2s : random_.chance(50) ? 500ms : 1s;
    c.silence = c.heartbeat_interval * random_.pick(3, 5);
    m.coordinator_timeout = random_.between(6s, 20s);
    c.lease = c.own_process || c.has_successors ? m.coordinator_timeout : c.silence;
    c.last_call = random_.between(500ms, 5s);
    c.prepare_timeout = 10s;
    c.close_timeout = random_.between(3s, 10s);
    c.scale_interval = random_.between(1s, 10s);
    c.min_uptime = random_.between(1s, 15s);
    c.loss_window = 60s;
    c.first_bar = random_.between(1s, 3s);
    m.join_timeout = random_.between(30s, 60s);
    WorkerHabits& w = plan_.workers;
    w.shutdown_timeout = random_.between(500ms, 4s);
    w.failure_grace = random_.between(100ms, 1s);
    w.per_mille_unstartable = random_.chance(10) ? 50 : 0;
    if (random_.chance(50)) w.slowest_lease_kill = c.stop_bound - 100ms;
    if (random_.chance(20)) plan_.slowest_timer = 50ms;
    if (random_.chance(20)) plan_.slowest_disk = 500ms;
    plan_.slowest_evidence = random_.chance(50) ? 2ms : 300ms;
    if (random_.chance(10)) plan_.per_mille_no_store = 100;
    plan_.loss_per_mille = random_.chance(50) ? 0 : random_.chance(50) ? 5 : 20;
  }

  // A chance of its own: the rest of a seed's story is the same with and without.
  void plan_policy() {
    RestartPolicy& restart = plan_.coordinator.restart;
    restart.longest_delay = 3s;
    restart.seed = policy_.next();
    if (policy_.chance(30)) restart.delay = policy_.between(50ms, 2s);
    if (!policy_.chance(30)) return;
    for (const Fate fate : {Fate::kExit, Fate::kSegfault, Fate::kAbort}) {
      if (policy_.chance(40)) continue;
      const int status = status_of(fate).shell_code();
      const OnExit then = policy_.chance(60) ? OnExit::kRestart : OnExit::kStop;
      restart.on_exit.push_back({status, status, false, then, std::to_string(status) + "=a rule"});
    }
  }

  // Two clocks run apart by 1 % at most.
  void plan_hosts() {
    const int drift = random_.chance(50) ? 4900 : 100;
    const Duration far = random_.chance(10) ? 30ms : random_.chance(50) ? 3ms : 200us;
    for (int i = 0; i <= nodes_; ++i) {
      HostPlan& host = plan_.hosts.emplace_back();
      host.distance = random_.between(50us, far);
      host.clock_offset = random_.between(1s, 100000s);
      host.clock_ppm = random_.chance(30) ? (random_.chance(50) ? drift : -drift) : random_.pick(-drift, drift);
    }
    plan_.coordinator_host = plan_.coordinator.own_process ? static_cast<uint32_t>(nodes_) : 0;
  }

  void plan_nodes() {
    const CoordinatorConfig& c = plan_.coordinator;
    const bool fixed = c.min_nodes == c.max_nodes;
    const bool mixed = random_.chance(20);
    const int workers = large_ ? 1 : random_.pick(1, 4);
    std::vector<int> ranks(static_cast<size_t>(nodes_));
    std::iota(ranks.begin(), ranks.end(), 0);
    for (size_t i = ranks.size() - 1; i > 0; --i) std::swap(ranks[i], ranks[random_.below(i + 1)]);
    const bool wishes = fixed ? c.max_nodes == nodes_ && random_.chance(20) : random_.chance(10);
    const std::vector<Term> terms = {{"--nnodes", std::to_string(c.min_nodes) + ":" + std::to_string(c.max_nodes)},
                                     {"--max-restarts", std::to_string(c.max_restarts)}};
    plan_.coordinator.terms = terms;
    for (int i = 0; i < nodes_; ++i) {
      NodePlan& node = plan_.nodes.emplace_back();
      node.host = static_cast<uint32_t>(i);
      node.name = "node" + std::to_string(i);
      node.workers = mixed ? random_.pick(1, 4) : workers;
      if (mixed && random_.chance(50)) node.role = "reader";
      if (wishes && (fixed || random_.chance(50))) node.node_rank = ranks[static_cast<size_t>(i)];
      node.terms = terms;
    }
    if (random_.chance(3)) plan_.nodes.back().terms[1].value = "17";
  }

  void plan_etcd() {
    plan_.etcd_host = static_cast<uint32_t>(nodes_);
    plan_.percent_etcd_late = random_.chance(30) ? 30 : random_.pick(0, 8);
  }

  // Some machines run several agents, some names change, and the port may be that of a job that is just ending.
  void plan_hosting() {
    if (!plan_.with_etcd) plan_endpoint();
    if (random_.chance(20)) {
      plan_.per_mille_unshared = random_.chance(50) ? 500 : 50;
      plan_.workers.slowest_cleanup = plan_.coordinator.stop_bound - 100ms;
    }
    if (random_.chance(20)) {
      plan_.workers.percent_slow_sweeps = random_.pick(10, 60);
      plan_.workers.slowest_sweep = random_.chance(50) ? Duration(3s) : Duration(25s);
    }
  }

  void plan_endpoint() {
    if (!plan_.coordinator.own_process && random_.chance(25)) {
      const int together = random_.pick(2, std::min(nodes_, 4));
      for (int i = 1; i < together; ++i) plan_.nodes[static_cast<size_t>(i)].host = 0;
      plan_.store_shares_port = random_.chance(60);
      // Rank 0 need not be who comes first.
      const bool elastic = plan_.coordinator.min_nodes < plan_.coordinator.max_nodes;
      if (elastic && random_.chance(60)) plan_.nodes[static_cast<size_t>(random_.pick(0, together - 1))].node_rank = 0;
    }
    if (random_.chance(25)) {
      plan_.name_right_at = random_.between(100ms, 9s);
      if (!plan_.coordinator.own_process && random_.chance(70)) plan_.name_before = static_cast<uint32_t>(nodes_);
    }
    if (!plan_.coordinator.own_process && random_.chance(25)) plan_.port_free_at = random_.between(100ms, 8s);
  }

  void add(FaultKind kind, Duration at, std::vector<uint32_t> who = {}, Duration lasts = {}, int arg = 0) {
    plan_.faults.push_back({kind, Trigger::kTime, 1, at, std::move(who), lasts, arg});
  }

  void plan_starts() {
    const bool together = random_.chance(50);
    for (int i = 0; i < nodes_; ++i) {
      const bool late = i > 0 && i >= plan_.coordinator.min_nodes && random_.chance(30);
      const Duration at = late ? random_.between(1s, window()) : random_.between(0ms, together ? 100ms : 5s);
      add(FaultKind::kStartNode, at, {static_cast<uint32_t>(i)});
    }
    if (plan_.coordinator.own_process) add(FaultKind::kStartCoordinator, random_.between(0ms, 3s));
  }

  std::vector<uint32_t> some_nodes() {
    std::vector<uint32_t> nodes = {any_node()};
    while (random_.chance(50)) nodes.push_back(any_node());
    return nodes;
  }
  uint32_t any_node() { return static_cast<uint32_t>(random_.below(static_cast<uint64_t>(nodes_))); }

  // Faults are worst together, and at the turns of a round.
  void place(Fault& fault) {
    if (random_.chance(35)) {
      static constexpr Trigger kTurns[] = {Trigger::kPrepare, Trigger::kPrepare, Trigger::kGo,
                                           Trigger::kStop,    Trigger::kSave,    Trigger::kClose};
      fault.trigger = kTurns[random_.below(6)];
      fault.nth = random_.pick(1, 3);
      fault.at = random_.chance(50) ? random_.between(0ms, 5ms) : random_.between(0ms, 1s);
    } else {
      fault.at = random_.chance(50) ? random_.one_of(moments_) + random_.between(0ms, 300ms)
                                    : random_.between(500ms, window());
    }
  }

  void add_fault() {
    Fault fault;
    place(fault);
    choose(fault);
    plan_.faults.push_back(fault);
    follow_up(fault);
  }

  void choose(Fault& fault) {
    static constexpr FaultKind kKinds[] = {FaultKind::kAnyWorkerFails,
                                           FaultKind::kAnyWorkerFails,
                                           FaultKind::kAnyWorkerFails,
                                           FaultKind::kWorkerFails,
                                           FaultKind::kKillAgent,
                                           FaultKind::kKillAgent,
                                           FaultKind::kLoseHost,
                                           FaultKind::kLoseHost,
                                           FaultKind::kStall,
                                           FaultKind::kStall,
                                           FaultKind::kStall,
                                           FaultKind::kStall,
                                           FaultKind::kTerm,
                                           FaultKind::kResetConnection,
                                           FaultKind::kResetConnection,
                                           FaultKind::kBlackhole,
                                           FaultKind::kCut,
                                           FaultKind::kCut,
                                           FaultKind::kCutAgents,
                                           FaultKind::kCutAgents,
                                           FaultKind::kCutWorkers,
                                           FaultKind::kSlowHost,
                                           FaultKind::kStallCoordinator,
                                           FaultKind::kKillCoordinator,
                                           FaultKind::kStateFileFails,
                                           FaultKind::kNoDescriptors,
                                           FaultKind::kNodeSucceeds,
                                           FaultKind::kNodeSucceeds};
    static constexpr FaultKind kOfSeat[] = {FaultKind::kStallCoordinator, FaultKind::kStallCoordinator,
                                            FaultKind::kKillCoordinator, FaultKind::kStateFileFails, FaultKind::kCut};
    static constexpr int kFates[] = {static_cast<int>(Fate::kExit), static_cast<int>(Fate::kSegfault),
                                     static_cast<int>(Fate::kOutOfMemory), static_cast<int>(Fate::kAbort)};
    fault.kind = kKinds[random_.below(std::size(kKinds))];
    if (plan_.with_etcd && random_.chance(30)) fault.kind = kOfSeat[random_.below(std::size(kOfSeat))];
    fault.who = {any_node()};
    fault.lasts = random_.chance(50) ? random_.between(100ms, 2s) : random_.between(1s, 12s);
    fault.arg = random_.pick(0, 2);
    if (fault.kind == FaultKind::kAnyWorkerFails || fault.kind == FaultKind::kWorkerFails) {
      fault.arg = kFates[random_.below(4)];
    }
    // Long enough for the end of the lease, and for what follows.
    if (fault.kind == FaultKind::kStall && random_.chance(60)) {
      fault.lasts = plan_.coordinator.lease + random_.between(0ms, 5s);
    }
    if (fault.kind == FaultKind::kSlowHost) fault.lasts = random_.between(10ms, 500ms);
    if (fault.kind == FaultKind::kLoseHost && random_.chance(30)) fault.lasts = {};
    if (fault.kind == FaultKind::kCut || fault.kind == FaultKind::kCutAgents || fault.kind == FaultKind::kCutWorkers) {
      fault.who = some_nodes();
    }
  }

  // Who dies may come back.
  void follow_up(const Fault& fault) {
    Fault next = fault;
    next.lasts = {};
    if (fault.kind == FaultKind::kKillAgent || fault.kind == FaultKind::kLoseHost || fault.kind == FaultKind::kTerm) {
      if (!random_.chance(65)) return;
      next.kind = FaultKind::kRestartNode;
      next.arg = 0;
    } else if (fault.kind == FaultKind::kKillCoordinator) {
      if (!random_.chance(80)) return;
      next.kind = FaultKind::kStartCoordinator;
      next.arg = random_.chance(30) && !plan_.with_etcd ? 1 : 0;
      // Its disk may be lost; and it may be back before the leases that it gave have ended.
      if (next.arg == 1 && random_.chance(50))
        next.at += plan_.coordinator.lease * 102 / 100 + plan_.coordinator.stop_bound;
    } else {
      return;
    }
    next.at += random_.chance(50) ? random_.between(20ms, 1s) : random_.between(1s, 10s);
    plan_.faults.push_back(next);
  }

  void add_ends() {
    if (random_.chance(20)) {
      add(FaultKind::kEverybodySucceeds, random_.between(2s, window()), {}, random_.between(100ms, 8s));
    }
    if (random_.chance(7)) add(FaultKind::kTermAll, random_.between(1s, window()), {}, random_.between(1ms, 300ms));
    if (random_.chance(4)) add(FaultKind::kTermCoordinator, random_.between(1s, window()));
  }

  // A file may still have the state of a launch that is dead, and somebody may put another job's in its place.
  void leave_states() {
    if (plan_.with_etcd) return;
    if (random_.chance(15)) {
      plan_.left_state = state_of_dead_launch(plan_);
      plan_.left_state_age = random_.between(0s, 2 * patience(plan_));
      // A service would tell of an end that is not old.
      if (plan_.left_state_age > patience(plan_) && random_.chance(30)) plan_.left_state->closed = JobEnd{};
      if (!plan_.coordinator.own_process && random_.chance(30)) plan_.left_state->terms[1].value = "19";
    }
    const size_t starts = plan_.faults.size();
    for (size_t i = 0; i < starts; ++i) {
      Fault& fault = plan_.faults[i];
      if (fault.kind != FaultKind::kStartCoordinator || fault.arg != 0 || !random_.chance(25)) continue;
      Fault again = fault;
      again.at += random_.between(100ms, 3s);
      fault.arg = 2;
      plan_.faults.push_back(again);
    }
  }

  Duration quiet_at() const {
    Duration last = std::max({Duration(2s), plan_.name_right_at, plan_.port_free_at});
    for (const Fault& fault : plan_.faults) last = std::max(last, fault.at + fault.lasts);
    return last + 1s;
  }

  Random random_;
  Random policy_;
  int nodes_ = 3;
  bool large_ = false;
  std::vector<Duration> moments_;
  JobPlan plan_;
};

const char* name(FaultKind kind) {
  static constexpr const char* kNames[] = {"nothing",
                                           "start node",
                                           "restart node",
                                           "worker fails",
                                           "any worker fails",
                                           "node succeeds",
                                           "everybody succeeds",
                                           "kill agent",
                                           "lose host",
                                           "stall",
                                           "TERM",
                                           "TERM to all",
                                           "reset connection",
                                           "blackhole connection",
                                           "cut",
                                           "cut agents",
                                           "cut workers",
                                           "slow host",
                                           "stall coordinator",
                                           "kill coordinator",
                                           "start coordinator",
                                           "TERM to coordinator",
                                           "state file fails",
                                           "no descriptors"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace

JobPlan random_job(uint64_t seed, std::optional<int> nodes, bool with_etcd) {
  return Planner(seed, nodes, with_etcd).plan();
}

std::string describe(const JobPlan& plan) {
  static constexpr const char* kMoments[] = {"", "th prepare", "th go", "th stop", "th save", "th close"};
  const auto ms = [](Duration time) { return std::to_string(time.count() / 1'000'000) + " ms"; };
  const CoordinatorConfig& c = plan.coordinator;
  std::string text = std::to_string(plan.nodes.size()) + " nodes, " + std::to_string(c.min_nodes) + ":" +
                     std::to_string(c.max_nodes) + ", " + std::to_string(c.max_restarts) + " restarts, " +
                     (plan.with_etcd  ? "etcd"
                      : c.own_process ? "coordinator of its own"
                                      : "hosted coordinator") +
                     ", lease " + ms(c.lease) + ", silence " + ms(c.silence) + ", last call " + ms(c.last_call) +
                     ", quiet at " + ms(plan.quiet_at) + "\n";
  if (c.restart.delay > 0ms) text += "  the restart delay is " + ms(c.restart.delay) + "\n";
  for (const ExitRule& rule : c.restart.on_exit) {
    text += "  exit status " + std::to_string(rule.first) +
            (rule.then == OnExit::kStop ? " ends the job\n" : " costs no restart\n");
  }
  for (const NodePlan& node : plan.nodes) {
    if (node.name != "node" + std::to_string(node.host)) text += "  " + node.name + " is on the machine of node0\n";
  }
  if (plan.left_state) {
    text += std::string("  the state of a dead launch") + (plan.left_state->closed ? " that had ended" : "") +
            " lies in the coordinator's file since " + ms(plan.left_state_age) + "\n";
  }
  if (plan.name_right_at > 0ms) text += "  the endpoint's name is right after " + ms(plan.name_right_at) + "\n";
  if (plan.port_free_at > 0ms) text += "  the endpoint's port is free after " + ms(plan.port_free_at) + "\n";
  if (plan.store_shares_port) text += "  the store has the endpoint's port\n";
  if (plan.per_mille_unshared > 0) text += "  some connections are not shared with the sentinel\n";
  if (plan.workers.percent_slow_sweeps > 0) text += "  sweeps last up to " + ms(plan.workers.slowest_sweep) + "\n";
  for (const Fault& fault : plan.faults) {
    if (fault.kind == FaultKind::kStartNode) continue;
    text += "  " + ms(fault.at);
    if (fault.trigger != Trigger::kTime) {
      text += " after the " + std::to_string(fault.nth) + kMoments[static_cast<size_t>(fault.trigger)];
    }
    text += std::string(": ") + name(fault.kind);
    for (const uint32_t who : fault.who) text += " " + plan.nodes[who].name;
    if (fault.lasts > 0ms) text += " for " + ms(fault.lasts);
    if (fault.arg != 0) text += " (" + std::to_string(fault.arg) + ")";
    text += "\n";
  }
  return text;
}

}  // namespace ferrun::sim
