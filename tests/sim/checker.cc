#include "tests/sim/checker.h"

#include <tuple>

#include "tests/sim/describe.h"

namespace ferrun::sim {
namespace {

template <typename T>
const T* message_in(const NodeEvent& event) {
  const auto* said = std::get_if<CoordinatorSaid>(&event);
  return said == nullptr ? nullptr : std::get_if<T>(&said->message);
}

}  // namespace

void Checker::fail(const char* invariant, std::string what) {
  if (!violation_) violation_ = Violation{invariant, std::move(what)};
}

// --- Nodes. ---

void Checker::agent_started(uint32_t agent, const NodePlan& node, AgentId id) {
  if (nodes_.size() <= agent) nodes_.resize(agent + 1);
  nodes_[agent].plan = node;
  nodes_[agent].id = id;
}

void Checker::agent_told_to_leave(uint32_t agent, int signal) {
  if (!nodes_[agent].told_to_leave) nodes_[agent].told_to_leave = signal;
}

void Checker::agent_died(uint32_t agent) { nodes_[agent].died = now_; }

void Checker::agent_stalls(uint32_t agent, TrueTime until) {
  nodes_[agent].stalled_until = std::max(nodes_[agent].stalled_until, until);
}

void Checker::host_leaves(uint32_t agent) {
  const Node& node = nodes_[agent];
  if (node.done && now_ >= node.done_at + plan_.coordinator.close_timeout * 98 / 100) return;
  fail("HostLeavesLast", node.plan.name + " ends before the coordinator that it hosts is done");
}

// Twice the interval: a late timer delays one heartbeat, and a clock may run slow.
void Checker::beats(Node& node) {
  const Duration most = 2 * plan_.coordinator.heartbeat_interval + 2 * plan_.slowest_timer;
  const TrueTime since = std::max(node.last_beat.value_or(now_), node.stalled_until);
  node.last_beat = now_;
  if (now_ > since + most) fail("HeartbeatsGoOn", node.plan.name + " has not been heard for too long");
}

void Checker::node_done(uint32_t agent, const JobEnd& end, int alive) {
  Node& node = nodes_[agent];
  if (alive > 0) fail("NoOrphans", node.plan.name + " ends while " + std::to_string(alive) + " processes live");
  node.done = true;
  node.done_at = now_;
  if (node.told_end && end.exit_status == node.told_end->exit_status) return;
  if (node.told_to_leave && end.exit_status == 128 + *node.told_to_leave) return;
  if (node.refused && end.kind == JobEnd::Kind::kRefused) return;
  if (!node.told_end && end.kind == JobEnd::Kind::kRendezvous && end.exit_status == kExitRendezvous) return;
  fail("ExitStatusesAgree", node.plan.name + " ends with " + describe(end) + ", the job with " +
                                (node.told_end ? describe(*node.told_end) : "nothing that it was told"));
}

void Checker::node_hears(uint32_t agent, const NodeEvent& event, TimePoint) {
  Node& node = nodes_[agent];
  if (const auto* answer = message_in<HeartbeatAnswer>(event)) {
    auto& sent = node.heartbeats;
    for (size_t i = 0; i < sent.size(); ++i) {
      if (sent[i].first != answer->number) continue;
      node.lease_end = std::max(node.lease_end.value_or(TimePoint{}), sent[i].second + node.lease);
      sent.erase(sent.begin(), sent.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      break;
    }
  } else if (const auto* welcome = message_in<Welcome>(event)) {
    node.put_off = false;
    node.lease = welcome->lease;
    node.lease_end = std::max(node.lease_end.value_or(TimePoint{}), node.join_sent + node.lease);
  } else if (const auto* refused = message_in<Refused>(event)) {
    node.refused |= !refused->try_again;
    node.put_off = true;
  } else if (const auto* close = message_in<Close>(event)) {
    node.told_end = close->end;
  } else if (std::holds_alternative<CoordinatorReached>(event)) {
    node.heartbeats.clear();
    node.last_beat.reset();
  }
}

void Checker::node_does(uint32_t agent, const NodeEvent& event, const std::vector<NodeEffect>& effects,
                        TimePoint local_now) {
  Node& node = nodes_[agent];
  if (node.done && !effects.empty()) fail("ClosedIsSilent", node.plan.name + " acts after its end");
  const auto* stop = message_in<Stop>(event);
  bool acknowledged = stop == nullptr;
  for (const NodeEffect& effect : effects) {
    if (const auto* tell = std::get_if<TellCoordinator>(&effect)) {
      node_says(agent, tell->message, local_now);
      const auto* ack = std::get_if<StopAcknowledged>(&tell->message);
      acknowledged |= ack != nullptr && stop != nullptr && ack->round == stop->round;
    } else if (const auto* begin = std::get_if<BeginAttempt>(&effect)) {
      node.stop_began.reset();
      begins(agent, *begin);
    } else if (std::holds_alternative<SignalWorker>(effect)) {
      if (!node.stop_began) node.stop_began = now_;
    } else if (std::holds_alternative<Dial>(effect) || std::holds_alternative<HangUp>(effect)) {
      acknowledged = true;  // the session is given up
    } else if (const auto* hold = std::get_if<HoldLease>(&effect)) {
      node.leased = hold->until.has_value();
      if (hold->until && (!node.lease_end || *hold->until > *node.lease_end)) {
        fail("LeaseHolds", node.plan.name + " believes in a lease that nobody gave");
      }
    }
  }
  if (!acknowledged) fail("StopAnswered", node.plan.name + " does not answer " + describe(CoordinatorMessage(*stop)));
}

void Checker::node_says(uint32_t agent, const MemberMessage& message, TimePoint local_now) {
  Node& node = nodes_[agent];
  if (const auto* heartbeat = std::get_if<Heartbeat>(&message)) {
    node.heartbeats.emplace_back(heartbeat->number, local_now);
    beats(node);
  } else if (std::holds_alternative<Join>(message)) {
    node.join_sent = local_now;
  } else if (const auto* prepared = std::get_if<Prepared>(&message)) {
    if (prepared->round < node.accepted || prepared->round <= node.started) {
      fail("NoOldIncarnation", node.plan.name + " accepts round " + to_string(prepared->round) + " after round " +
                                   to_string(node.accepted));
    }
    node.accepted = prepared->round;
  }
}

void Checker::lease(uint32_t agent, int alive, TimePoint local_now) {
  if (alive == 0) return;
  const Node& node = nodes_[agent];
  const Duration bound = plan_.coordinator.stop_bound;
  if (node.died) {
    if (now_ > *node.died + bound) fail("NoOrphans", node.plan.name + " has processes long after its agent died");
    return;
  }
  stop_ends(node, alive);
  if (!node.lease_end || local_now > *node.lease_end + bound) {
    fail("LeaseHolds", node.plan.name + " has processes long after its lease has ended");
  } else if (!node.leased) {
    fail("LeaseHolds", node.plan.name + " has processes and has told its sentinel of no lease");
  }
}

// Workers get the longer grace at most; then come two kills, of those that did not obey and of what they left behind.
void Checker::stop_ends(const Node& node, int alive) {
  if (!node.stop_began) return;
  const WorkerHabits& habits = plan_.workers;
  const Duration grace = std::max(habits.failure_grace, habits.shutdown_timeout);
  const Duration margin = grace / 100 + plan_.slowest_timer + 3 * habits.slowest_death + std::chrono::milliseconds(20);
  if (now_ <= std::max(*node.stop_began + grace, node.stalled_until) + margin) return;
  fail("NoOrphans",
       std::to_string(alive) + " processes of " + node.plan.name + " live long after it began to stop them");
}

void Checker::node_settled(uint32_t agent, bool done, std::optional<TimePoint> deadline, TimePoint local_now) {
  if (deadline && *deadline < local_now) fail("DeadlineNotPast", nodes_[agent].plan.name);
  if (done && deadline) fail("ClosedIsSilent", nodes_[agent].plan.name + " has a deadline after its end");
}

// --- Processes. ---

void Checker::worker_started(uint32_t agent, RoundId round, const Processes::Worker&) {
  if (live_ > 0 && live_round_ != round) {
    fail("OneRound", nodes_[agent].plan.name + " runs round " + to_string(round) + " while " + std::to_string(live_) +
                         " processes of round " + to_string(live_round_) + " live");
  }
  live_round_ = round;
  ++live_;
}

void Checker::worker_ended(uint32_t agent, RoundId round, const Processes::Worker& worker, bool left_a_stray) {
  if (!left_a_stray) process_is_gone(round);
  if (is_failure(worker.fate)) failures_[worker.pid].ended = now_;
  if (worker.fate != Fate::kSuccess) return;
  Round* const its = find(round);
  Slot* const slot = its == nullptr ? nullptr : find(*its, agent);
  if (slot != nullptr) ++slot->succeeded;
}

void Checker::stray_ended(uint32_t, RoundId round) { process_is_gone(round); }

void Checker::processes_vanished(uint32_t, RoundId round, int alive) {
  for (int i = 0; i < alive; ++i) process_is_gone(round);
}

void Checker::process_is_gone(RoundId) { --live_; }

void Checker::worker_noticed(uint32_t agent, RoundId round, const Processes::Worker& worker) {
  if (!is_failure(worker.fate)) return;
  Failure& failure = failures_[worker.pid];
  failure.round = round;
  failure.agent = agent;
  failure.fate = worker.fate;
  failure.lost_peer = worker.fate == Fate::kLostPeer;
  failure.noticed = now_;
}

// --- The coordinator. ---

void Checker::state_in_etcd(const CoordinatorState& state, bool first) {
  const auto place = [](const CoordinatorState& of) {
    return std::tuple(of.incarnation, of.newest, of.restarts, of.closed.has_value());
  };
  // A coordinator that has found the state of a launch that is over begins anew.
  if (!first && !state_lost_ && place(state) < place(on_disk_)) {
    fail("StateGoesForward",
         "round " + to_string(state.newest) + " is written over round " + to_string(on_disk_.newest));
  }
  on_disk_ = state;
}

const Checker::Round* Checker::find(RoundId round) const {
  for (auto it = rounds_.rbegin(); it != rounds_.rend(); ++it) {
    if (it->id == round) return &*it;
  }
  return nullptr;
}

const Checker::Slot* Checker::find(const Round& round, uint32_t agent) {
  for (const Slot& slot : round.slots) {
    if (slot.agent == agent) return &slot;
  }
  return nullptr;
}

uint32_t Checker::agent_of(ConnectionId connection) const {
  return network_.agent(static_cast<ConnectionIndex>(connection - 1));
}

bool Checker::connected(const Node& node) const {
  return node.joined && node.connection != kNone && network_.open(node.connection, Side::kServer);
}

void Checker::coordinator_started(uint32_t coordinator, const StateVerdict& due,
                                  const std::optional<CoordinatorState>& taken) {
  if (taken && taken->job_id != plan_.coordinator.job_id) fail("OwnState", "goes on with job '" + taken->job_id + "'");
  coordinator_ = coordinator;
  state_lost_ = !due.state;
  reported_ = due.state ? due.state->newest : RoundId{};
  disk_fails_ = false;
  coordinator_leaves_ = false;
  closing_.reset();
  closing_since_ = now_;
  last_scaling_.reset();
  for (Node& node : nodes_) node.round_trip.reset();
  for (Node& node : nodes_) node.joined = node.goodbye = node.acknowledged = node.end_awaited = false;
}

void Checker::coordinator_hears(uint32_t, CoordinatorMachine::Phase phase, const CoordinatorEvent& event,
                                TrueTime sent) {
  wants_cause_ = phase == CoordinatorMachine::Phase::kRunning || phase == CoordinatorMachine::Phase::kStopping;
  if (const auto* said = std::get_if<PeerSaid>(&event)) return member_says(agent_of(said->connection), *said, sent);
  // Told while it closes the job it goes on with that.
  if (std::holds_alternative<CoordinatorStopped>(event)) {
    coordinator_leaves_ |= phase != CoordinatorMachine::Phase::kClosing;
  }
  if (const auto* saved = std::get_if<StateSaved>(&event)) disk_fails_ = !saved->error.empty();
  const auto* lost = std::get_if<PeerLost>(&event);
  if (lost == nullptr) return;
  const uint32_t agent = agent_of(lost->connection);
  Node& node = nodes_[agent];
  if (node.connection != lost->connection - 1) return;
  node.joined = false;
  Round* const round = went_ ? find(*went_) : nullptr;
  if (round == nullptr) return;
  if (find(*round, agent) != nullptr && !node.goodbye) note_loss(*round, agent);
}

// A round that loses a node unannounced may spend a restart when it is young, and need not when that explains why a
// worker failed.
void Checker::note_loss(Round& round, uint32_t agent) {
  find(round, agent)->lost = true;
  note_end(round, std::min(now_, nodes_[agent].last_arrival + plan_.coordinator.silence * 95 / 100));
}

void Checker::note_end(Round& round, TrueTime noticed) {
  round.charge_least = 0;
  if (noticed < round.went_at + plan_.coordinator.min_uptime * 102 / 100) round.charge_most = 1;
}

// A node that is there and whose workers are not.
void Checker::note_dropping_out(uint32_t agent, RoundId id) {
  Round* const round = went_ == id ? find(id) : nullptr;
  if (round != nullptr && !round->stopped && find(*round, agent) != nullptr) note_end(*round, now_);
}

void Checker::note_finish(Slot& slot) const {
  slot.finished = true;
  slot.finish_known_to = coordinator_;
}

void Checker::member_says(uint32_t agent, const PeerSaid& said, TrueTime sent) {
  Node& node = nodes_[agent];
  Round* const running = went_ ? find(*went_) : nullptr;
  if (running != nullptr && silent(node) && find(*running, agent) != nullptr) note_loss(*running, agent);
  node.last_arrival = now_;
  const auto slot_of = [&](RoundId id) -> Slot* {
    Round* const round = find(id);
    return round == nullptr ? nullptr : find(*round, agent);
  };
  if (const auto* join = std::get_if<Join>(&said.message)) {
    reported_ = std::max(reported_, join->past.round);
    const bool runs = running != nullptr && join->past.round == running->id && join->past.work == Work::kRunning;
    if (!runs && running != nullptr && find(*running, agent) != nullptr) note_loss(*running, agent);
    node.connection = static_cast<ConnectionIndex>(said.connection - 1);
    node.round_trip.reset();
    Round* const past = find(join->past.round);
    if (past != nullptr && (join->past.any_success || join->past.work == Work::kFinished))
      past->success_reported = true;
    Slot* const slot = slot_of(join->past.round);
    if (slot != nullptr && join->past.work == Work::kFinished) note_finish(*slot);
  } else if (const auto* prepared = std::get_if<Prepared>(&said.message)) {
    Slot* const slot = slot_of(prepared->round);
    if (slot != nullptr && !std::exchange(slot->prepared, true) && !slot->dials) note_round_trip(node, prepared->round);
  } else if (const auto* reached = std::get_if<StoreReached>(&said.message)) {
    Slot* const slot = slot_of(reached->round);
    if (slot != nullptr && !std::exchange(slot->reached, true)) note_round_trip(node, reached->round);
  } else if (const auto* success = std::get_if<WorkerSucceeded>(&said.message)) {
    if (Round* const round = find(success->round)) round->success_reported = true;
  } else if (const auto* finished = std::get_if<NodeFinished>(&said.message)) {
    if (Slot* const slot = slot_of(finished->round)) note_finish(*slot);
    if (Round* const round = find(finished->round)) round->success_reported = true;
  } else if (const auto* failed = std::get_if<NodeFailed>(&said.message)) {
    note_failures(agent, failed->round, failed->failures, sent);
    if (Round* const round = find(failed->round)) round->charge_most = 1;
  } else if (const auto* ack = std::get_if<StopAcknowledged>(&said.message)) {
    note_failures(agent, ack->round, ack->failures, sent);
    Round* const round = find(ack->round);
    if (round != nullptr && !ack->failures.empty()) round->charge_most = 1;
  } else if (const auto* reaped = std::get_if<NodeReaped>(&said.message)) {
    note_dropping_out(agent, reaped->round);
  } else if (const auto* refusal = std::get_if<NotPrepared>(&said.message)) {
    note_dropping_out(agent, refusal->round);
  } else if (std::holds_alternative<Goodbye>(said.message)) {
    node.goodbye = true;
  } else if (std::holds_alternative<Closed>(said.message)) {
    node.acknowledged = true;
  }
}

void Checker::coordinator_does(uint32_t coordinator, CoordinatorMachine::Phase before, CoordinatorMachine::Phase after,
                               const CoordinatorEvent& event, const std::vector<CoordinatorEffect>& effects) {
  using Phase = CoordinatorMachine::Phase;
  if (before == Phase::kClosed && !effects.empty()) fail("ClosedIsSilent", "the coordinator acts after its end");
  stopped_now_.clear();
  std::optional<RoundId> going;
  for (const CoordinatorEffect& effect : effects) {
    if (const auto* one = std::get_if<Tell>(&effect)) {
      told(coordinator, agent_of(one->connection), one->message, event);
    } else if (const auto* all = std::get_if<TellAll>(&effect)) {
      for (const ConnectionId connection : all->connections) {
        told(coordinator, agent_of(connection), all->message, event);
      }
      if (const auto* go = std::get_if<Go>(&all->message)) going = go->round;
    } else if (const auto* say = std::get_if<RendezvousSay>(&effect)) {
      if (say->line.find("; restart ") != std::string::npos) check_root_cause(say->line);
    } else if (const auto* save = std::get_if<SaveState>(&effect)) {
      if (!save->state.closed || before == Phase::kClosing) continue;
      closing_since_ = now_;
      check_root_cause(*save->state.closed);
    } else if (std::holds_alternative<CoordinatorDone>(effect)) {
      leaves();
    }
  }
  if (going) check_all_go(*going);
  if (before == Phase::kRunning) check_stop(after, event);
}

void Checker::coordinator_settled(bool closed, std::optional<TimePoint> deadline, TimePoint local_now) {
  if (deadline && *deadline < local_now) fail("DeadlineNotPast", "the coordinator");
  if (closed && deadline) fail("ClosedIsSilent", "the coordinator has a deadline after its end");
}

}  // namespace ferrun::sim
