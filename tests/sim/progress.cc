// Liveness: once nothing breaks any more, every node runs in one round or has ended, within a bound; then newcomers
// have their turn, and at last every worker ends with 0, and so does the job.
#include <algorithm>

#include "tests/sim/coverage.h"
#include "tests/sim/world.h"

namespace ferrun::sim {
namespace {

using namespace std::chrono_literals;

// What the world itself needs before a machine hears of anything: TCP's next retransmission, a dialler's pause and its
// handshake, the patience for a store, a driver's late timer.
constexpr Duration kSurroundings = 12s;
constexpr Duration kLook = 200ms;
constexpr Duration kRetransmission = 1s;  // the slowest
// Until an agent has looked at the endpoint's name again, and has waited for rank 0 to host.
constexpr Duration kElection = 17s;

// Its evidence may still be gathered, and nobody has been told.
bool has_failed_worker(const Agent& agent) {
  const GroupMachine* const group = agent.running() ? agent.machine().group() : nullptr;
  return group != nullptr && std::ranges::any_of(group->workers(), [](const auto& worker) { return worker.failed(); });
}

}  // namespace

// Lease, grace, last call and ten round trips. A node that hung on a dead connection notices that first.
Duration World::settle_bound() const {
  const CoordinatorConfig& c = plan_.coordinator;
  Duration distance{};
  for (const HostPlan& host : plan_.hosts) distance = std::max(distance, host.distance);
  const Duration round_trip = 8 * distance;
  const Duration lease = std::max(c.lease, c.silence) + c.lease / 50 + c.stop_bound;
  const bool waits = c.restart.delay > 0s || !c.restart.on_exit.empty();
  const Duration delay = waits ? c.restart.longest_delay * 5 / 4 : 0s;
  const Duration grace = std::max(plan_.workers.failure_grace, plan_.workers.shutdown_timeout);
  return lease + c.silence + grace + c.last_call + 10 * round_trip + kSurroundings + plan_.workers.slowest_sweep +
         delay + (c.own_process ? 0s : kElection);
}

// What was on its way when the last fault ended may still be missed: by then everybody who misses it has noticed.
Duration World::aftermath() const { return kRetransmission + plan_.coordinator.silence * 105 / 100; }

void World::make_quiet() {
  parts_.network.heal_all(parts_.now);
  state_file_.fails = false;
  if (parts_.etcd) parts_.etcd->make_quiet();
  enter(Stage::kQuiet, settle_bound());
  plan_milestone(kLook, Milestone::kLook);
}

void World::enter(Stage stage, Duration patience) {
  stage_ = stage;
  stage_since_ = parts_.now;
  stage_end_ = parts_.now + patience;
}

void World::look() {
  plan_milestone(kLook, Milestone::kLook);
  if (stage_ == Stage::kQuiet && parts_.now < stage_since_ + aftermath()) return;
  const std::string why = stage_ == Stage::kQuiet       ? unsettled()
                          : stage_ == Stage::kAbsorbing ? unabsorbed()
                                                        : unended();
  if (!why.empty() && parts_.now > stage_end_) return parts_.checker.fail("Progress", why);
  if (why.empty() && stage_ == Stage::kAbsorbing) {
    let_all_succeed();
  } else if (why.empty() && stage_ == Stage::kQuiet) {
    settled_after_ = parts_.now - stage_since_;
    enter(Stage::kAbsorbing, plan_.coordinator.scale_interval + 4 * plan_.coordinator.first_bar + settle_bound());
  }
}

std::string World::unsettled() {
  const CoordinatorProcess* const process = coordinator();
  const auto phase = process == nullptr ? CoordinatorMachine::Phase::kClosed : process->machine().phase();
  if (phase == CoordinatorMachine::Phase::kPreparing || phase == CoordinatorMachine::Phase::kStopping) {
    return std::string("the coordinator is ") + name(phase) + ": " + process->machine().reason();
  }
  const std::vector<uint32_t> members = parts_.checker.members();
  if (phase == CoordinatorMachine::Phase::kRunning && members.empty()) {
    return "the coordinator waits for the round of a dead launch: " + process->machine().reason();
  }
  int joined = 0;
  for (uint32_t i = 0; i < agents_.size(); ++i) {
    const Agent& agent = *agents_[i];
    if (!agent.running() || agent.node_done()) continue;
    if (process == nullptr && agent.processes().alive() > 0)
      return agent.plan().name + " has workers, but no coordinator";
    if (process == nullptr && (parts_.etcd || (agent.host() == plan_.coordinator_host && !agent.has_reached())))
      return agent.plan().name + " has met no coordinator, could host one and does not";
    if (phase >= CoordinatorMachine::Phase::kClosing) continue;
    if (parts_.checker.joined(i)) ++joined;
    const bool member = std::find(members.begin(), members.end(), i) != members.end();
    const std::string why = unsettled(i, phase == CoordinatorMachine::Phase::kRunning, member);
    if (!why.empty()) return why;
  }
  for (const uint32_t member : members) {
    if (phase != CoordinatorMachine::Phase::kRunning || agents_[member]->running()) continue;
    if (!parts_.checker.finish_is_known(member))
      return agents_[member]->plan().name + " is lost, and its round goes on";
  }
  if (phase == CoordinatorMachine::Phase::kGathering && joined >= plan_.coordinator.min_nodes) {
    return std::to_string(joined) + " nodes have joined, and no round forms: " + process->machine().reason();
  }
  return "";
}

std::string World::unsettled(uint32_t index, bool round_runs, bool member) {
  const Agent& agent = *agents_[index];
  const std::string reason = ": " + agent.machine().member().reason();
  if (!parts_.checker.joined(index) && !parts_.checker.refused(index))
    return agent.plan().name + " has not joined" + reason;
  if (!round_runs) return "";
  const auto phase = agent.machine().member().phase();
  const bool runs = phase == MemberMachine::Phase::kRunning || phase == MemberMachine::Phase::kFinished;
  const RoundId round = parts_.checker.newest_round();
  // A node that has finished may lose its place, and nothing with it.
  if (member && !runs && parts_.checker.finished(index)) return "";
  if (member == runs && (!runs || agent.machine().member().round() == round)) return "";
  return agent.plan().name + " is " + name(phase) + " while round " + to_string(round) + " runs" + reason;
}

std::string World::unabsorbed() {
  const std::string why = unsettled();
  const CoordinatorProcess* const process = coordinator();
  if (!why.empty() || process == nullptr || process->machine().phase() != CoordinatorMachine::Phase::kRunning)
    return why;
  int joined = 0;
  for (uint32_t i = 0; i < agents_.size(); ++i) {
    const Agent& agent = *agents_[i];
    if (!agent.running() || agent.node_done()) continue;
    if (!parts_.checker.joined(i)) return agent.plan().name + " is refused: " + agent.machine().member().reason();
    ++joined;
  }
  const auto size = static_cast<int>(parts_.checker.members().size());
  if (size >= std::min(joined, plan_.coordinator.max_nodes) || parts_.checker.success_reported()) return "";
  return "the round has " + std::to_string(size) + " nodes, and " + std::to_string(joined) + " have joined";
}

void World::let_all_succeed() {
  const CoordinatorProcess* const process = coordinator();
  must_succeed_ = process != nullptr && process->machine().phase() == CoordinatorMachine::Phase::kRunning &&
                  std::ranges::none_of(agents_, [](const auto& agent) { return has_failed_worker(*agent); });
  parts_.finishing = true;
  for (const auto& agent : agents_) succeed(*agent, 500ms);
  enter(Stage::kFinishing, settle_bound() + plan_.coordinator.close_timeout + plan_.member.join_timeout +
                               plan_.member.coordinator_timeout);
}

bool World::all_over() const {
  return std::none_of(agents_.begin(), agents_.end(), [](const auto& agent) { return agent->running(); });
}

std::string World::ending() const {
  static constexpr const char* kEnds[] = {"success", "failed", "stopped", "rendezvous", "refused"};
  const auto& end = parts_.checker.closing();
  return end ? kEnds[static_cast<size_t>(end->kind)] : "not closed";
}

std::string World::unended() const {
  for (const auto& agent : agents_) {
    if (!agent->running()) continue;
    return agent->plan().name + (agent->node_done() ? " is done and does not end" : " does not end: ") +
           agent->machine().member().reason();
  }
  return "";
}

void World::check_over() {
  const std::string why = unended();
  if (!why.empty()) parts_.checker.fail("Progress", why);
  const auto& end = parts_.checker.closing();
  if (must_succeed_ && (!end || end->kind != JobEnd::Kind::kSuccess)) {
    parts_.checker.fail("Progress", "the job does not succeed although nothing breaks any more");
  }
}

}  // namespace ferrun::sim
