#include "tests/sim/world.h"

#include <csignal>

#include "rendezvous/coordinator/coordinator_state_codec.h"
#include "tests/sim/describe.h"

namespace ferrun::sim {

using namespace std::chrono_literals;

World::World(const JobPlan& plan, std::optional<uint64_t> seed, Trace& trace, Coverage* coverage, Mutant* mutant)
    : plan_(plan),
      parts_(plan, seed, trace, coverage, mutant),
      agent_of_node_(plan.nodes.size(), kNone),
      struck_(plan.faults.size(), false) {
  if (plan.left_state) state_file_ = {plan.left_state, TrueTime(-plan.left_state_age), false};
  parts_.host_coordinator = [this](uint32_t agent) { return start_coordinator(agent); };
  parts_.close_coordinator = [this](uint32_t agent) {
    if (CoordinatorProcess* const process = hosted_by(agent)) process->kill();
  };
  parts_.may_act = [this](uint32_t agent) { return agents_[agent]->may_act(); };
  parts_.save_in_etcd = [this](uint32_t agent, uint32_t coordinator, uint64_t save, std::string text) {
    agents_[agent]->save_in_etcd(coordinator, save, std::move(text));
  };
  parts_.leave_etcd = [this](uint32_t agent, bool job_is_over) { agents_[agent]->leave_etcd(job_is_over); };
  parts_.state_saved = [this](uint32_t coordinator, uint64_t save, const std::string& error) {
    coordinators_[coordinator]->saved_in_etcd(save, error);
  };
  parts_.seat_ended = [this](uint32_t agent) {
    if (CoordinatorProcess* const process = hosted_by(agent)) process->seat_ended();
  };
  parts_.stop_coordinator = [this](uint32_t agent, int signal) { stop_hosted(agent, signal); };
  parts_.round_begun = [this] { return coordinator() != nullptr && !coordinator()->machine().round().none(); };
  parts_.port_is_taken = [this] { return coordinator() != nullptr; };
  for (uint32_t i = 0; i < plan.faults.size(); ++i) {
    if (plan.faults[i].trigger != Trigger::kTime) continue;
    parts_.queue.push(TrueTime(plan.faults[i].at), Happening::kFault, i);
  }
}

std::optional<Violation> World::run() {
  parts_.queue.push(TrueTime(plan_.quiet_at), Happening::kMilestone, 0, static_cast<uint64_t>(Milestone::kQuiet));
  while (!parts_.queue.empty() && !violation() && !(stage_ != Stage::kFaults && all_over())) {
    dispatch(parts_.queue.pop());
  }
  if (!violation()) check_over();
  return violation();
}

void World::run_for(Duration time) {
  const TrueTime end = parts_.now + time;
  while (!violation() && !parts_.queue.empty() && parts_.queue.next_time() <= end) dispatch(parts_.queue.pop());
  parts_.now = end;
}

void World::dispatch(Event event) {
  ++steps_;
  parts_.now = std::max(parts_.now, event.at);
  switch (event.what) {
    case Happening::kParcel:
    case Happening::kReset:
    case Happening::kTcpGivesUp: connection_event(event); break;
    case Happening::kCoordinatorDeadline:
    case Happening::kStateSaved:
    case Happening::kCoordinatorSignal: coordinator_event(event); break;
    case Happening::kFault:
      if (stage_ == Stage::kFaults) strike(plan_.faults[event.who]);
      break;
    case Happening::kEtcdRequest: parts_.etcd->arrives(event.tag); break;
    case Happening::kMilestone: milestone(event); break;
    default: agent_event(event); break;
  }
  after_step();
}

// --- Processes that stand still take nothing; what was meant for them waits. ---

TrueTime World::free_at(const Agent& agent) const { return agent.stalled_until(); }

TrueTime World::free_at(const CoordinatorProcess& coordinator) const {
  const TrueTime own = coordinator.stalled_until();
  return coordinator.host_agent() == kNone ? own : std::max(own, agents_[coordinator.host_agent()]->stalled_until());
}

std::optional<TrueTime> World::takes_at(ConnectionIndex connection, Side side) const {
  if (side == Side::kClient) {
    const Agent& agent = *agents_[parts_.network.agent(connection)];
    return agent.running() ? std::optional(free_at(agent)) : std::nullopt;
  }
  const uint32_t accepted_by = parts_.network.coordinator(connection);
  const CoordinatorProcess* const process =
      accepted_by == kNone ? coordinator_at(parts_.network.host(connection, side)) : coordinators_[accepted_by].get();
  return process != nullptr && process->running() ? std::optional(free_at(*process)) : std::nullopt;
}

void World::connection_event(Event event) {
  const ConnectionIndex connection = event.who;
  const Side side = Network::receiver(event);
  if (event.what == Happening::kParcel && !parts_.network.lands(parts_.now, event)) return;
  const std::optional<TrueTime> free = takes_at(connection, side);
  if (free && *free > parts_.now) return parts_.queue.put_off(event, *free);
  const bool accepts = side == Side::kClient || parts_.network.coordinator(connection) != kNone;
  if (free && !accepts && no_descriptors_until_ > parts_.now) {
    return parts_.queue.put_off(event, no_descriptors_until_);
  }
  if (event.what != Happening::kParcel) {
    if (!parts_.network.breaks(event) || !free) return;
    const std::string why = event.what == Happening::kReset ? "connection reset by peer" : "connection timed out";
    if (side == Side::kClient)
      return agents_[parts_.network.agent(connection)]->loses(connection, LossKind::kReset, why);
    if (parts_.network.coordinator(connection) == kNone) return;
    return coordinators_[parts_.network.coordinator(connection)]->loses(connection, LossKind::kReset, why);
  }
  std::optional<Parcel> parcel = parts_.network.take(parts_.now, event);
  if (!parcel) return;
  if (side == Side::kClient) {
    if (free) agents_[parts_.network.agent(connection)]->reads(connection, std::move(*parcel));
  } else if (free) {
    const uint32_t accepted_by = parts_.network.coordinator(connection);
    CoordinatorProcess* const process =
        accepted_by == kNone ? coordinator_at(parts_.network.host(connection, side)) : coordinators_[accepted_by].get();
    process->reads(connection, std::move(*parcel));
  } else if (parcel->kind == Parcel::Kind::kSyn) {
    parts_.network.send(parts_.now, connection, Side::kServer, Parcel{Parcel::Kind::kRefused, parts_.now, {}});
  }
}

void World::agent_event(const Event& event) {
  Agent& agent = *agents_[event.who];
  if (event.what == Happening::kProcessEnds) {
    const int before = agent.processes().alive_workers();
    agent.process_ends(event.tag);
    if (agent.processes().alive_workers() < before && agent.processes().current(event.tag) &&
        agent.processes().worker(event.tag).fate != Fate::kSuccess) {
      hurt_peers(event.who);
    }
    return;
  }
  if (event.what == Happening::kLeaseOver) return agent.lease_over(event.tag);
  if (!agent.running()) return;
  if (free_at(agent) > parts_.now) return parts_.queue.put_off(event, free_at(agent));
  switch (event.what) {
    case Happening::kMemberDeadline: return agent.deadline(event.tag);
    case Happening::kHostingDeadline: return agent.hosting_deadline(event.tag);
    case Happening::kNameFound: return agent.name_found();
    case Happening::kDialAgain: return agent.dial_again(event.tag);
    case Happening::kDialTimeout: return agent.dial_times_out(static_cast<ConnectionIndex>(event.tag));
    case Happening::kWorkerNoticed: return agent.notices_worker(event.tag);
    case Happening::kAttemptReady: return agent.attempt_ready(event.tag);
    case Happening::kSwept:
      if (agent.processes().alive() > 0) return parts_.queue.put_off(event, parts_.now + 1ms);
      return agent.swept(event.tag);
    case Happening::kEvidence: return agent.evidence_gathered(event.tag);
    case Happening::kStoreOpened: return agent.store_opened(event.tag);
    case Happening::kStoreDialled: return agent.store_dialled(event.tag);
    case Happening::kEtcdAnswer: return agent.etcd_answers(event.tag);
    case Happening::kSeatDeadline: return agent.seat_deadline(event.tag);
    case Happening::kSeatSave: return agent.seat_save(event.tag);
    case Happening::kSeatEnd: return agent.seat_end(event.tag == 1);
    default: break;
  }
  agent.signal(static_cast<int>(event.tag));
}

void World::coordinator_event(const Event& event) {
  CoordinatorProcess& process = *coordinators_[event.who];
  if (!process.running()) return;
  if (free_at(process) > parts_.now) return parts_.queue.put_off(event, free_at(process));
  if (event.what == Happening::kCoordinatorDeadline) return process.deadline(event.tag);
  if (event.what == Happening::kStateSaved) return process.saved(event.tag);
  process.signal(static_cast<int>(event.tag));
}

void World::after_step() {
  let_processes_end();
  strike_triggered();
  if (parts_.etcd) check_seats();
}

// Who stands still does nothing.
void World::check_seats() {
  std::string who;
  int acting = 0;
  for (const auto& process : coordinators_) {
    if (!process->running() || process->has_finished() || free_at(*process) > parts_.now) continue;
    const Agent& agent = *agents_[process->host_agent()];
    if (!agent.running() || !agent.may_act()) continue;
    ++acting;
    who += " " + agent.plan().name;
  }
  if (acting > 1) parts_.checker.fail("OneCoordinator", "these may act as the coordinator:" + who);
}

// A coordinator that an agent hosts ends with that agent's process.
void World::let_processes_end() {
  for (const auto& process : coordinators_) {
    if (!process->running() || !process->done()) continue;
    const std::optional<JobEnd> end = process->take_end();
    if (process->host_agent() == kNone) {
      process->kill();
    } else if (end) {
      agents_[process->host_agent()]->coordinator_done(*end);
    }
  }
  for (const uint32_t index : std::exchange(parts_.ended, {})) {
    if (CoordinatorProcess* const process = hosted_by(index)) {
      if (!process->done()) parts_.checker.host_leaves(index);
      process->kill();
    }
    agents_[index]->exit();
  }
}

void World::start_agent(uint32_t node) {
  const NodePlan& plan = plan_.nodes[node];
  const auto index = static_cast<uint32_t>(agents_.size());
  agents_.push_back(std::make_unique<Agent>(parts_, index, plan));
  agent_of_node_[node] = index;
  parts_.network.host_is_up(parts_.now, plan.host);
  agents_.back()->start();
}

void World::start_seat_coordinator(uint32_t agent) {
  StateFile& found = etcd_states_.emplace_back();
  if (const std::optional<std::string>& left = agents_[agent]->left_state()) {
    found = {decode_state(*left).value(), parts_.now, false};
  }
  const auto index = static_cast<uint32_t>(coordinators_.size());
  coordinators_.push_back(
      std::make_unique<CoordinatorProcess>(parts_, index, agent, agents_[agent]->id(), agents_[agent]->host(), found));
  for (uint32_t node = 0; node < agent_of_node_.size(); ++node) {
    if (agent_of_node_[node] == agent) host_node_ = node;
  }
  coordinators_.back()->start();
}

bool World::start_coordinator(uint32_t host_agent) {
  if (parts_.etcd) {
    start_seat_coordinator(host_agent);
    return coordinators_.back()->running();
  }
  if (coordinator() != nullptr || parts_.now < TrueTime(plan_.port_free_at)) return false;  // the address is bound
  const auto index = static_cast<uint32_t>(coordinators_.size());
  const AgentId id = host_agent == kNone ? AgentId{} : agents_[host_agent]->id();
  parts_.network.host_is_up(parts_.now, plan_.coordinator_host);
  coordinators_.push_back(
      std::make_unique<CoordinatorProcess>(parts_, index, host_agent, id, plan_.coordinator_host, state_file_));
  for (uint32_t node = 0; node < agent_of_node_.size(); ++node) {
    if (host_agent != kNone && agent_of_node_[node] == host_agent) host_node_ = node;
  }
  coordinators_.back()->start();
  return coordinators_.back()->running();
}

void World::stop_hosted(uint32_t agent, int signal) {
  if (CoordinatorProcess* const process = hosted_by(agent)) process->signal(signal);
}

CoordinatorProcess* World::hosted_by(uint32_t agent) const {
  for (auto it = coordinators_.rbegin(); it != coordinators_.rend(); ++it) {
    if ((*it)->running() && (*it)->host_agent() == agent) return it->get();
  }
  return nullptr;
}

CoordinatorProcess* World::coordinator_at(HostIndex host) const {
  for (auto it = coordinators_.rbegin(); it != coordinators_.rend(); ++it) {
    if ((*it)->running() && (*it)->host() == host) return it->get();
  }
  return nullptr;
}

CoordinatorProcess* World::coordinator() {
  if (parts_.etcd) {
    for (auto it = coordinators_.rbegin(); it != coordinators_.rend(); ++it) {
      if ((*it)->running() && agents_[(*it)->host_agent()]->may_act()) return it->get();
    }
    return nullptr;
  }
  return coordinators_.empty() || !coordinators_.back()->running() ? nullptr : coordinators_.back().get();
}

Agent* World::agent_of_node(uint32_t node) {
  return agent_of_node_[node] == kNone ? nullptr : agents_[agent_of_node_[node]].get();
}

void World::strike_triggered() {
  const CoordinatorProcess* const now = coordinator();
  if (now == nullptr || stage_ != Stage::kFaults) return;
  for (uint32_t i = 0; i < plan_.faults.size(); ++i) {
    const Fault& fault = plan_.faults[i];
    if (fault.trigger == Trigger::kTime || struck_[i] || now->seen(fault.trigger) < fault.nth) continue;
    struck_[i] = true;
    parts_.queue.push(parts_.now + fault.at, Happening::kFault, i);
  }
}

void World::milestone(const Event& event) {
  switch (static_cast<Milestone>(event.tag)) {
    case Milestone::kQuiet: return make_quiet();
    case Milestone::kLook: return look();
    case Milestone::kHeal: return parts_.network.heal(parts_.now, event.who);
    case Milestone::kHostUp: return parts_.network.host_is_up(parts_.now, event.who);
    case Milestone::kStateFileWorks: state_file_.fails = false; return;
  }
}

std::string World::status() {
  std::string text;
  for (const uint32_t index : agent_of_node_) {
    if (index == kNone) continue;
    const Agent& agent = *agents_[index];
    text += agent.plan().name + " ";
    if (!agent.running()) {
      text += agent.node_done() ? "has ended\n" : "is dead\n";
      continue;
    }
    const MemberMachine& member = agent.machine().member();
    text += std::string("is ") + name(member.phase()) + ", " + std::to_string(agent.processes().alive()) +
            " processes; " + member.reason() + "\n";
  }
  if (coordinator() == nullptr) return text + "there is no coordinator\n";
  const CoordinatorMachine& machine = coordinator()->machine();
  return text + "the coordinator is " + name(machine.phase()) + "; " + machine.reason() + "\n";
}

}  // namespace ferrun::sim
