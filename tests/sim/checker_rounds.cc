// The checks of rounds and of the job's end: what the coordinator tells whom, and whether it may.
#include <algorithm>
#include <map>
#include <utility>

#include "tests/sim/checker.h"
#include "tests/sim/describe.h"

namespace ferrun::sim {

void Checker::told(uint32_t coordinator, uint32_t agent, const CoordinatorMessage& message,
                   const CoordinatorEvent& cause) {
  if (const auto* prepare = std::get_if<Prepare>(&message)) {
    prepares(coordinator, agent, *prepare);
  } else if (const auto* dial = std::get_if<DialStore>(&message)) {
    nodes_[agent].asked = now_;
    Round* const round = find(dial->round);
    Slot* const slot = round == nullptr ? nullptr : find(*round, agent);
    if (slot != nullptr) slot->dials = true;
  } else if (const auto* go = std::get_if<Go>(&message)) {
    goes(agent, go->round);
  } else if (const auto* stop = std::get_if<Stop>(&message)) {
    stops(agent, *stop, cause);
  } else if (const auto* close = std::get_if<Close>(&message)) {
    closes(agent, close->end);
  } else if (std::holds_alternative<Welcome>(message)) {
    nodes_[agent].joined = true;
  } else if (std::holds_alternative<Refused>(message)) {
    nodes_[agent].joined = false;
  }
}

bool Checker::success_reported() const {
  const Round* const round = went_ ? find(*went_) : nullptr;
  return round != nullptr && round->success_reported;
}

bool Checker::finished(uint32_t agent) const {
  const Round* const round = went_ ? find(*went_) : nullptr;
  const Slot* const slot = round == nullptr ? nullptr : find(*round, agent);
  return slot != nullptr && slot->finished;
}

bool Checker::finish_is_known(uint32_t agent) const {
  const Round* const round = went_ ? find(*went_) : nullptr;
  const Slot* const slot = round == nullptr ? nullptr : find(*round, agent);
  return slot != nullptr && slot->finish_known_to == coordinator_;
}

std::vector<uint32_t> Checker::members() const {
  const Round* const round = went_ ? find(*went_) : nullptr;
  std::vector<uint32_t> members;
  if (round == nullptr) return members;
  for (const Slot& slot : round->slots) members.push_back(slot.agent);
  return members;
}

void Checker::prepares(uint32_t coordinator, uint32_t agent, const Prepare& message) {
  nodes_[agent].asked = now_;
  const RoundId id = message.assignment.round;
  Round* round = find(id);
  if (round == nullptr || (round->coordinator != coordinator && state_lost_)) {
    const RoundId known = state_lost_ || rounds_.empty() ? reported_ : std::max(reported_, rounds_.back().id);
    if (id <= known) fail("RoundsAreFresh", "round " + to_string(id) + " is prepared after round " + to_string(known));
    reported_ = std::max(reported_, id);
    std::erase_if(failures_, [&](const auto& failure) { return failure.second.round == id; });
    round = &rounds_.emplace_back();
    round->id = id;
    round->coordinator = coordinator;
  }
  if (round->coordinator != coordinator || round->went || round->stopped) {
    return fail("RoundsAreFresh", "round " + to_string(id) + " is prepared again");
  }
  const auto rank = static_cast<size_t>(message.assignment.node_rank);
  if (round->slots.size() <= rank) round->slots.resize(rank + 1);
  Slot& slot = round->slots[rank];
  if (slot.agent != kNone && slot.agent != agent) {
    return fail("RanksComplete",
                name(agent) + " and " + name(slot.agent) + " have the same rank in round " + to_string(id));
  }
  slot.agent = agent;
  slot.assignment = message.assignment;
}

void Checker::goes(uint32_t agent, RoundId id) {
  Round* const round = find(id);
  if (round == nullptr || round->stopped) return fail("PreparedBeforeGo", "round " + to_string(id) + " is let go");
  Slot* const slot = find(*round, agent);
  if (slot == nullptr) return fail("SparesIdle", name(agent) + " is let go and has no place in round " + to_string(id));
  if (slot->told_go) return;
  slot->told_go = true;
  if (!round->went) formed(*round);
}

void Checker::formed(Round& round) {
  round.went = true;
  round.went_at = now_;
  if (live_ > 0) {
    fail("ReapedBeforeGo", "round " + to_string(round.id) + " is let go while " + std::to_string(live_) +
                               " processes of round " + to_string(live_round_) + " live");
  }
  if (on_disk_.newest != round.id || on_disk_.closed) {
    fail("SavedBeforeTold", "round " + to_string(round.id) + " is let go before it is on the disk");
  }
  check_ranks(round);
  check_members(round);
  check_restarts(round);
  went_ = round.id;
}

void Checker::check_ranks(const Round& round) {
  const auto nodes = static_cast<int>(round.slots.size());
  std::map<std::string, int> roles;
  int first = 0;
  for (int rank = 0; rank < nodes; ++rank) {
    const Slot& slot = round.slots[static_cast<size_t>(rank)];
    if (slot.agent == kNone) return fail("RanksComplete", "nobody has rank " + std::to_string(rank));
    const Assignment& a = slot.assignment;
    int& first_of_role = roles[nodes_[slot.agent].plan.role];
    if (a.node_count != nodes || a.node_rank != rank || a.first_rank != first || a.first_role_rank != first_of_role) {
      return fail("RanksComplete", name(slot.agent) + " has a wrong place: " + describe(a));
    }
    first += nodes_[slot.agent].plan.workers;
    first_of_role += nodes_[slot.agent].plan.workers;
  }
  for (const Slot& slot : round.slots) {
    const Assignment& a = slot.assignment;
    if (a.world != first || a.role_world != roles[nodes_[slot.agent].plan.role]) {
      return fail("RanksComplete", name(slot.agent) + " has a wrong world size: " + describe(a));
    }
  }
}

void Checker::check_members(const Round& round) {
  const auto size = static_cast<int>(round.slots.size());
  if (size < plan_.coordinator.min_nodes || size > plan_.coordinator.max_nodes) {
    fail("GroupSize", "round " + to_string(round.id) + " has " + std::to_string(size) + " nodes");
  }
  for (const Slot& slot : round.slots) {
    if (!slot.prepared || !slot.reached) {
      fail("PreparedBeforeGo", name(slot.agent) + " has not prepared round " + to_string(round.id));
    }
    const NodePlan& node = nodes_[slot.agent].plan;
    if (node.node_rank && plan_.coordinator.min_nodes == plan_.coordinator.max_nodes &&
        *node.node_rank != slot.assignment.node_rank) {
      fail("WishesKept", node.name + " has rank " + std::to_string(slot.assignment.node_rank));
    }
  }
  const Round* const before = went_ ? find(*went_) : nullptr;
  if (before == nullptr || (before->coordinator != round.coordinator && state_lost_)) return;
  for (const Slot& old : before->slots) {
    const int rank = old.assignment.node_rank;
    const Node& node = nodes_[old.agent];
    if (old.lost || node.goodbye || !connected(node) || silent(node)) continue;
    const Slot* now = nullptr;
    for (const Slot& slot : round.slots) {
      if (slot.agent == old.agent) now = &slot;
    }
    if (rank == 0 && (now == nullptr || now->assignment.node_rank != 0)) {
      fail("RankZeroStays", node.plan.name + " was rank 0 and is there");
    } else if (now != nullptr && rank < size && now->assignment.node_rank != rank) {
      fail("SurvivorsKeepRanks", node.plan.name + " had rank " + std::to_string(rank) + " and gets " +
                                     std::to_string(now->assignment.node_rank));
    }
  }
}

void Checker::check_restarts(Round& round) {
  const int count = round.slots[0].assignment.restart_count;
  for (const Slot& slot : round.slots) {
    if (slot.assignment.restart_count != count) {
      fail("SameAssignment", "the restart count differs between nodes of round " + to_string(round.id));
    }
  }
  if (count > plan_.coordinator.max_restarts) {
    fail("RestartBudget", "restart " + std::to_string(count) + " of " + std::to_string(plan_.coordinator.max_restarts));
  }
  Round* const before = went_ ? find(*went_) : nullptr;
  if (before == nullptr) {
    if (count != 0) fail("RestartCount", "the first round is restart " + std::to_string(count));
    return;
  }
  if (before->coordinator != round.coordinator) return;
  for (const Slot& slot : before->slots) {
    if (silent(nodes_[slot.agent]) && !nodes_[slot.agent].goodbye) note_loss(*before, slot.agent);
  }
  const int spent = count - before->slots[0].assignment.restart_count;
  check_policy(*before, spent);
  const std::set<OnExit> then = consequences(*before);
  const bool may_be_free = then.empty() || then.contains(OnExit::kRestart);
  if (may_be_free && !plan_.coordinator.restart.on_exit.empty()) before->charge_least = 0;
  if (spent < before->charge_least || spent > before->charge_most) {
    fail("RestartCount", "round " + to_string(before->id) + " has spent " + std::to_string(spent) +
                             " restarts, and should have spent " + std::to_string(before->charge_least) + " to " +
                             std::to_string(before->charge_most));
  }
}

// Failures that nobody has heard of may be among them, so that what holds for all of them is all that can be said.
std::set<OnExit> Checker::consequences(const Round& round) const {
  std::set<OnExit> of_own;
  std::set<OnExit> of_victims;
  if (plan_.workers.per_mille_unstartable > 0) return {};
  for (const auto& [pid, failure] : failures_) {
    if (failure.round != round.id) continue;
    LocalFailure seen;
    seen.status = status_of(failure.fate);
    (failure.lost_peer ? of_victims : of_own).insert(plan_.coordinator.restart.after(seen));
  }
  return of_own.empty() ? of_victims : of_own;
}

void Checker::check_policy(const Round& before, int spent) {
  const std::set<OnExit> then = consequences(before);
  const bool failed = before.charge_least == 1;  // and was not ended by a lost node
  if (failed && then == std::set{OnExit::kStop}) {
    fail("ExitRules", "the job goes on after round " + to_string(before.id) + ", whose failure ends it");
  }
  if (failed && then == std::set{OnExit::kRestart} && spent > 0) {
    fail("ExitRules", "the failure of round " + to_string(before.id) + " has spent a restart");
  }
  if (spent > 0 && now_ - before.stopped_at < plan_.coordinator.restart.delay * 98 / 100) {
    fail("RestartDelay", "a round is let go too soon after round " + to_string(before.id) + " failed");
  }
}

// Every member hears in the same step that the round is let go.
void Checker::check_all_go(RoundId id) {
  Round* const round = find(id);
  if (round == nullptr) return;
  for (const Slot& slot : round->slots) {
    if (!slot.told_go) fail("SameAssignment", name(slot.agent) + " is not let go with the others");
  }
}

// --- The end of a round. ---

void Checker::stops(uint32_t agent, const Stop& message, const CoordinatorEvent& cause) {
  stopped_now_.push_back(agent);
  Round* const round = find(message.round);
  if (round == nullptr) return;
  if (std::exchange(round->stopped, true) || !round->went) return;
  round->stopped_at = now_;
  note_cause(*round, message, cause);
}

void Checker::note_cause(Round& round, const Stop& message, const CoordinatorEvent& cause) {
  if (message.kind == StopKind::kFailure || message.kind == StopKind::kLostPeer) {
    // A member whose connection has broken already may be lost yet, and be the cause.
    const bool may_be_loss = std::ranges::any_of(
        round.slots, [this](const Slot& slot) { return !slot.finished && !nodes_[slot.agent].joined; });
    round.charge_least = may_be_loss ? 0 : 1;
    round.charge_most = 1;
    return;
  }
  const auto* said = std::get_if<PeerSaid>(&cause);
  const bool newcomer = said != nullptr && std::holds_alternative<Join>(said->message) &&
                        find(round, agent_of(said->connection)) == nullptr;
  const bool joiner = newcomer || (std::holds_alternative<CoordinatorDeadline>(cause) && !loss_is_plausible(round));
  if (!joiner || message.kind != StopKind::kMembership) return;
  if (round.success_reported) fail("SuccessKeepsRound", describe(CoordinatorMessage(message)));
  if (last_scaling_ && now_ < *last_scaling_ + plan_.coordinator.scale_interval * 0.98) {
    fail("DisturbsRarely", describe(CoordinatorMessage(message)));
  }
  last_scaling_ = now_;
}

// Whether the coordinator may take the node for lost, connected though it is.
bool Checker::silent(const Node& node) const { return now_ - node.last_arrival > plan_.coordinator.silence * 0.95; }

// Whether it may take a member of the round for lost.
bool Checker::loss_is_plausible(const Round& round) const {
  for (const Slot& slot : round.slots) {
    const Node& node = nodes_[slot.agent];
    if (slot.lost || node.goodbye || !connected(node)) return true;
    if (silent(node)) return true;
  }
  return false;
}

// A failure, a loss or a goodbye ends the round in this step, and everybody else is told so.
void Checker::check_stop(CoordinatorMachine::Phase after, const CoordinatorEvent& event) {
  Round* const round = went_ ? find(*went_) : nullptr;
  // Told to stop, it closes the job, when that is saved.
  if (round == nullptr || std::holds_alternative<CoordinatorStopped>(event)) return;
  // It leaves with its agent: the end of their connections stops the others.
  if (after == CoordinatorMachine::Phase::kClosed && coordinator_leaves_) return;
  if (on_disk_.newest != round->id) return;  // it has taken over and stops one that was never let go
  uint32_t about = kNone;
  bool ends = false;
  if (const auto* said = std::get_if<PeerSaid>(&event)) {
    about = agent_of(said->connection);
    const auto* failed = std::get_if<NodeFailed>(&said->message);
    ends = (failed != nullptr && failed->round == round->id) || std::holds_alternative<Goodbye>(said->message);
  } else if (const auto* lost = std::get_if<PeerLost>(&event)) {
    about = agent_of(lost->connection);
    ends = lost->kind == LossKind::kEndOfStream && nodes_[about].connection == lost->connection - 1;
  }
  const Slot* const slot = about == kNone ? nullptr : find(*round, about);
  ends = ends && slot != nullptr && !slot->finished;
  if (after == CoordinatorMachine::Phase::kRunning) {
    if (ends) fail("StopAtOnce", "the round goes on although " + name(about) + " has failed or left");
    return;
  }
  for (const Slot& one : round->slots) {
    const Node& node = nodes_[one.agent];
    if (one.agent == about || one.finished || !connected(node) || node.goodbye || node.acknowledged) continue;
    const bool told = std::find(stopped_now_.begin(), stopped_now_.end(), one.agent) != stopped_now_.end();
    if (!told) fail("StopAtOnce", node.plan.name + " is not told that the round is over");
  }
}

// --- The end of the job. ---

void Checker::closes(uint32_t agent, const JobEnd& end) {
  stopped_now_.push_back(agent);
  nodes_[agent].end_awaited |= !silent(nodes_[agent]);
  if (closing_) {
    if (!(*closing_ == end))
      fail("ExitStatusesAgree", "the job ends with " + describe(*closing_) + " and " + describe(end));
    return;
  }
  closing_ = end;
  const bool saved = on_disk_.closed && on_disk_.closed->exit_status == end.exit_status;
  if (!saved && !disk_fails_) {
    fail("SavedBeforeTold", "the job is closed before that is on the disk");
  }
  if (end.kind == JobEnd::Kind::kSuccess) check_success();
}

void Checker::check_success() {
  Round* const round = went_ ? find(*went_) : nullptr;
  if (round == nullptr) return fail("SuccessIsEarned", "there was no round");
  for (const Slot& slot : round->slots) {
    if (slot.succeeded != nodes_[slot.agent].plan.workers) {
      fail("SuccessIsEarned",
           std::to_string(slot.succeeded) + " workers of " + name(slot.agent) + " have ended with 0");
    }
  }
}

void Checker::leaves() {
  if (coordinator_leaves_ || !closing_) return;
  if (now_ >= closing_since_ + plan_.coordinator.close_timeout * 98 / 100) return;
  for (const Node& node : nodes_) {
    if (!node.end_awaited || !connected(node) || node.acknowledged || node.goodbye || silent(node)) continue;
    fail("CoordinatorLeavesLast", node.plan.name + " has not acknowledged the end");
  }
}

// --- What nodes make of it. ---

void Checker::begins(uint32_t agent, const BeginAttempt& begin) {
  Node& node = nodes_[agent];
  const RoundId id = begin.assignment.round;
  Round* const round = find(id);
  Slot* const slot = round == nullptr ? nullptr : find(*round, agent);
  if (slot == nullptr || !slot->told_go) {
    return fail("SparesIdle", node.plan.name + " runs round " + to_string(id) + " without being told to");
  }
  if (!(slot->assignment == begin.assignment)) {
    fail("SameAssignment",
         node.plan.name + " runs " + describe(begin.assignment) + " instead of " + describe(slot->assignment));
  }
  if (id <= node.started || id < node.accepted) {
    fail("NoOldIncarnation", node.plan.name + " runs round " + to_string(id) + " after " + to_string(node.started));
  }
  node.started = id;
  slot->started = true;
  if (round->launch_id.empty()) {
    round->launch_id = begin.launch_id;
    round->store = begin.store;
  } else if (round->launch_id != begin.launch_id || !(round->store == begin.store)) {
    fail("SameAssignment", node.plan.name + " has another store or launch id than the others");
  }
}

}  // namespace ferrun::sim
