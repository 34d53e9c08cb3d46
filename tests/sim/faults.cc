// What goes wrong in the world, and how what is broken hurts the rest.
#include <csignal>

#include "tests/sim/world.h"

namespace ferrun::sim {

using namespace std::chrono_literals;

void World::plan_milestone(Duration after, Milestone milestone, uint32_t who) {
  parts_.queue.push(parts_.now + after, Happening::kMilestone, who, static_cast<uint64_t>(milestone));
}

void World::strike(const Fault& fault) {
  CoordinatorProcess* const process = coordinator();
  switch (fault.kind) {
    case FaultKind::kNone: return;
    case FaultKind::kEverybodySucceeds:
      for (const auto& agent : agents_) succeed(*agent, fault.lasts);
      return;
    case FaultKind::kAnyWorkerFails: {
      std::vector<Agent*> running;
      for (const auto& agent : agents_) {
        if (agent->processes().alive_workers() > 0) running.push_back(agent.get());
      }
      if (!running.empty()) fail_a_worker(*parts_.random.one_of(running), static_cast<Fate>(fault.arg));
      return;
    }
    case FaultKind::kTermAll:
      for (uint32_t i = 0; i < agents_.size(); ++i) {
        parts_.queue.push(parts_.now + parts_.random.between(0ms, fault.lasts), Happening::kSignal, i, SIGTERM);
      }
      return;
    case FaultKind::kCut:
    case FaultKind::kCutAgents:
    case FaultKind::kCutWorkers: return cut(fault);
    case FaultKind::kStallCoordinator:
      if (process == nullptr) return;
      if (process->host_agent() != kNone) return agents_[process->host_agent()]->stall(stall_end(fault));
      return process->stall(stall_end(fault));
    case FaultKind::kKillCoordinator: return kill_coordinator();
    case FaultKind::kStartCoordinator:
      if (process == nullptr) start_coordinator_again(fault.arg);
      return;
    case FaultKind::kTermCoordinator:
      if (process == nullptr) return;
      if (process->host_agent() == kNone) {
        const auto index = static_cast<uint32_t>(coordinators_.size() - 1);
        return parts_.queue.push(parts_.now, Happening::kCoordinatorSignal, index, SIGTERM);
      }
      return parts_.queue.push(parts_.now, Happening::kSignal, process->host_agent(), SIGTERM);
    case FaultKind::kStateFileFails:
      if (parts_.etcd) return parts_.etcd->be_away(stall_end(fault));
      state_file_.fails = true;
      return plan_milestone(fault.lasts, Milestone::kStateFileWorks);
    case FaultKind::kNoDescriptors: no_descriptors_until_ = stall_end(fault); return;
    case FaultKind::kLoseHost: return lose_host(fault);
    default: break;
  }
  for (const uint32_t node : fault.who) strike_node(fault.kind, node, fault);
}

void World::strike_node(FaultKind kind, uint32_t node, const Fault& fault) {
  Agent* const agent = agent_of_node(node);
  if (kind == FaultKind::kStartNode || kind == FaultKind::kRestartNode) {
    if (agent == nullptr || (kind == FaultKind::kRestartNode && agent->done())) start_agent(node);
    return;
  }
  if (agent == nullptr || !agent->running()) return;
  const ConnectionIndex connection = agent->connection();
  switch (kind) {
    case FaultKind::kWorkerFails: return fail_a_worker(*agent, static_cast<Fate>(fault.arg));
    case FaultKind::kNodeSucceeds: return succeed(*agent, fault.lasts);
    case FaultKind::kKillAgent: return kill_agent(*agent);
    case FaultKind::kStall: return agent->stall(stall_end(fault));
    case FaultKind::kTerm: return parts_.queue.push(parts_.now, Happening::kSignal, agent_of_node_[node], SIGTERM);
    case FaultKind::kResetConnection:
      if (connection == kNone) return;
      if (fault.arg == 0) return parts_.network.reset(parts_.now, connection, std::nullopt);
      return parts_.network.reset(parts_.now, connection, fault.arg == 1 ? Side::kClient : Side::kServer);
    case FaultKind::kBlackhole:
      if (connection != kNone) parts_.network.blackhole(connection);
      return;
    case FaultKind::kSlowHost: return parts_.network.slow_down(agent->host(), fault.lasts);
    default: return;
  }
}

TrueTime World::stall_end(const Fault& fault) const {
  const TrueTime end = parts_.now + fault.lasts;
  return plan_.quiet_at > 0ms ? std::min(end, TrueTime(plan_.quiet_at)) : end;
}

void World::start_coordinator_again(int arg) {
  const StateFile own = state_file_;
  if (arg == 1) state_file_.state.reset();
  if (arg == 2) state_file_ = {state_of_another_job(plan_), parts_.now, own.fails};
  if (plan_.coordinator.own_process) {
    // Refused, it has another file named to it the next time.
    if (!start_coordinator(kNone) && arg == 2) state_file_ = own;
  } else if (agent_of_node(host_node_) == nullptr || agent_of_node(host_node_)->done()) {
    start_agent(host_node_);
  }
}

void World::kill_agent(Agent& agent) {
  agent.kill();
  for (const auto& process : coordinators_) {
    if (process->running() && process->host_agent() != kNone && agents_[process->host_agent()].get() == &agent) {
      process->kill();
    }
  }
}

void World::kill_coordinator() {
  CoordinatorProcess* const process = coordinator();
  if (process == nullptr) return;
  if (process->host_agent() == kNone) return process->kill();
  kill_agent(*agents_[process->host_agent()]);
}

void World::lose_host(const Fault& fault) {
  for (const uint32_t node : fault.who) {
    const HostIndex host = plan_.nodes[node].host;
    parts_.network.host_is_down(host);
    for (uint32_t i = 0; i < agents_.size(); ++i) {
      if (agents_[i]->host() != host) continue;
      if (agents_[i]->processes().alive_workers() > 0) hurt_peers(i);
      agents_[i]->vanish();
    }
    if (CoordinatorProcess* const process = coordinator_at(host)) process->vanish();
    if (fault.lasts > 0ms) plan_milestone(fault.lasts, Milestone::kHostUp, host);
  }
}

void World::fail_a_worker(Agent& agent, Fate fate) {
  std::vector<const Processes::Worker*> alive;
  for (const Processes::Worker& worker : agent.processes().workers()) {
    if (worker.alive) alive.push_back(&worker);
  }
  if (!alive.empty()) agent.processes().plan_end(parts_.now, *parts_.random.one_of(alive), fate);
}

void World::succeed(Agent& agent, Duration spread) {
  for (const Processes::Worker& worker : agent.processes().workers()) {
    if (!worker.alive) continue;
    agent.processes().plan_end(parts_.now + parts_.random.between(0ms, spread), worker, Fate::kSuccess);
  }
}

// Collective operations fail on the other ranks when one of them dies: soon, or never.
void World::hurt_peers(uint32_t agent) {
  const RoundId round = agents_[agent]->processes().round();
  if (std::exchange(hurt_, round) == round) return;
  int left = 8;
  for (const auto& other : agents_) {
    if (other->processes().round() != round) continue;
    for (const Processes::Worker& worker : other->processes().workers()) {
      if (!worker.alive || !parts_.random.chance(plan_.percent_casualties)) continue;
      static constexpr Fate kFates[] = {Fate::kLostPeer, Fate::kLostPeer, Fate::kExit, Fate::kAbort};
      other->processes().plan_end(parts_.now + parts_.random.between(1ms, 1500ms), worker,
                                  kFates[parts_.random.below(4)]);
      if (--left == 0) return;
    }
  }
}

void World::cut(const Fault& fault) {
  Cut made;
  made.id = next_cut_++;
  made.inside.assign(plan_.hosts.size(), false);
  for (const uint32_t node : fault.who) made.inside[plan_.nodes[node].host] = true;
  made.outwards = fault.arg != 2;
  made.inwards = fault.arg != 1;
  made.agents = fault.kind != FaultKind::kCutWorkers;
  made.workers = fault.kind != FaultKind::kCutAgents;
  plan_milestone(fault.lasts, Milestone::kHeal, made.id);
  parts_.network.cut(std::move(made));
}

}  // namespace ferrun::sim
