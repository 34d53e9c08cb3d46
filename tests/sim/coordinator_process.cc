#include "tests/sim/coordinator_process.h"

#include "rendezvous/coordinator/coordinator_state_codec.h"
#include "tests/sim/describe.h"

namespace ferrun::sim {

using namespace std::chrono_literals;

CoordinatorProcess::CoordinatorProcess(Parts& parts, uint32_t index, uint32_t host_agent, AgentId host_agent_id,
                                       HostIndex host, StateFile& file)
    : parts_(parts), index_(index), host_agent_(host_agent), host_(host), file_(file), config_(parts.plan.coordinator) {
  config_.host_agent = host_agent_id;
  config_.launch_id = "launch-" + std::to_string(index);
}

void CoordinatorProcess::start() {
  const StateVerdict due = judge(file_, parts_.plan, parts_.now);
  StateVerdict verdict = due;
  if (parts_.mutant != nullptr) parts_.mutant->state_judged(file_.state, verdict);
  if (parts_.trace.on() && !verdict.line.empty()) say("| " + verdict.line);
  if (!verdict.usable) return;
  running_ = true;
  if (parts_.trace.on()) say(verdict.state ? "starts, with its saved state" : "starts");
  parts_.checker.coordinator_started(index_, due, verdict.state);
  if (parts_.mutant != nullptr) parts_.mutant->configure(config_);
  machine_ = std::make_unique<CoordinatorMachine>(config_, std::move(verdict.state), parts_.local(host()));
  step_machine(CoordinatorDeadline{}, CoordinatorMachine::Phase::kGathering);
  plan_deadline();
}

void CoordinatorProcess::step(const CoordinatorEvent& event, TrueTime sent) {
  if (!running_ || parts_.checker.violation()) return;
  if (parts_.etcd && !parts_.may_act(host_agent_)) return;
  const auto before = machine_->phase();
  parts_.checker.coordinator_hears(index_, before, event, sent);
  if (parts_.coverage != nullptr) parts_.coverage->count(before, event);
  if (parts_.mutant == nullptr) {
    machine_->step(event, parts_.local(host()));
  } else {
    CoordinatorEvent heard = event;
    if (!parts_.mutant->coordinator_hears(heard)) return;
    machine_->step(heard, parts_.local(host()));
  }
  step_machine(event, before);
  plan_deadline();
}

// What follows from a step, and from the answers that a mutant forges.
void CoordinatorProcess::step_machine(const CoordinatorEvent& event, CoordinatorMachine::Phase before) {
  std::vector<CoordinatorEffect> effects = machine_->take_effects();
  std::vector<CoordinatorEvent> answers;
  if (parts_.mutant != nullptr) parts_.mutant->coordinator_does(effects, answers);
  parts_.checker.coordinator_does(index_, before, machine_->phase(), event, effects);
  for (const CoordinatorEffect& effect : effects) carry_out(effect);
  count_triggers();
  for (const CoordinatorEvent& answer : answers) {
    const auto phase = machine_->phase();
    machine_->step(answer, parts_.local(host()));
    step_machine(answer, phase);
  }
}

void CoordinatorProcess::plan_deadline() {
  const std::optional<TimePoint> next = machine_->next_deadline();
  const bool closed = machine_->phase() == CoordinatorMachine::Phase::kClosed;
  parts_.checker.coordinator_settled(closed, next, parts_.local(host()));
  if (next == planned_deadline_) return;
  planned_deadline_ = next;
  ++deadlines_;
  if (!next) return;
  const TrueTime due = std::max(parts_.now, parts_.clocks[host()].when(*next));
  parts_.queue.push_last(due + parts_.random.between(0ms, parts_.plan.slowest_timer), Happening::kCoordinatorDeadline,
                         index_, deadlines_);
}

void CoordinatorProcess::deadline(uint64_t generation) {
  if (generation != deadlines_) return;
  planned_deadline_.reset();
  step(CoordinatorDeadline{}, parts_.now);
}

// --- Connections. ---

void CoordinatorProcess::reads(ConnectionIndex connection, Parcel parcel) {
  const ConnectionId id = connection + 1;
  switch (parcel.kind) {
    case Parcel::Kind::kSyn:
      parts_.network.accept(connection, index_);
      connections_.push_back(connection);
      return parts_.network.send(parts_.now, connection, Side::kServer,
                                 Parcel{Parcel::Kind::kAccepted, parts_.now, {}});
    case Parcel::Kind::kProof: {
      sessions_.insert(connection);
      const HostIndex client = parts_.network.host(connection, Side::kClient);
      return step(PeerArrived{id, AgentId{0xa000 + parts_.network.agent(connection)}, address_of(client)}, parcel.sent);
    }
    case Parcel::Kind::kSaid: return step(PeerSaid{id, std::move(std::get<MemberMessage>(parcel.load))}, parcel.sent);
    case Parcel::Kind::kEnd: return loses(connection, LossKind::kEndOfStream, "it has closed the connection");
    default: return;
  }
}

void CoordinatorProcess::loses(ConnectionIndex connection, LossKind kind, const std::string& why) {
  parts_.network.close(parts_.now, connection, Side::kServer);
  if (parts_.trace.on() && sessions_.contains(connection)) {
    say("loses the connection of " + parts_.checker.name(parts_.network.agent(connection)) + ": " + why);
  }
  step(PeerLost{connection + 1, kind, why}, parts_.now);
}

void CoordinatorProcess::tell(ConnectionId connection, const Told& told) {
  parts_.network.send(parts_.now, static_cast<ConnectionIndex>(connection - 1), Side::kServer,
                      Parcel{Parcel::Kind::kTold, parts_.now, told});
}

void CoordinatorProcess::note_trigger(const CoordinatorMessage& message) {
  Trigger trigger = Trigger::kTime;
  if (std::holds_alternative<Prepare>(message)) trigger = Trigger::kPrepare;
  if (std::holds_alternative<Go>(message)) trigger = Trigger::kGo;
  if (std::holds_alternative<Stop>(message)) trigger = Trigger::kStop;
  if (std::holds_alternative<Close>(message)) trigger = Trigger::kClose;
  in_this_step_[static_cast<size_t>(trigger)] = true;
}

void CoordinatorProcess::count_triggers() {
  for (size_t i = 0; i < kTriggers; ++i) seen_[i] += std::exchange(in_this_step_[i], false) ? 1 : 0;
}

void CoordinatorProcess::carry_out(const CoordinatorEffect& effect) {
  if (const auto* one = std::get_if<Tell>(&effect)) {
    note_trigger(one->message);
    tell(one->connection, std::make_shared<const CoordinatorMessage>(one->message));
  } else if (const auto* all = std::get_if<TellAll>(&effect)) {
    note_trigger(all->message);
    const auto told = std::make_shared<const CoordinatorMessage>(all->message);
    for (const ConnectionId connection : all->connections) tell(connection, told);
  } else if (const auto* gone = std::get_if<Disconnect>(&effect)) {
    parts_.network.close(parts_.now, static_cast<ConnectionIndex>(gone->connection - 1), Side::kServer);
  } else if (const auto* save = std::get_if<SaveState>(&effect)) {
    in_this_step_[static_cast<size_t>(Trigger::kSave)] = true;
    saves_.push_back(*save);
    if (parts_.etcd) return parts_.save_in_etcd(host_agent_, index_, saves_.size() - 1, encode_state(save->state));
    disk_free_at_ = std::max(disk_free_at_, parts_.now) + parts_.random.between(100us, parts_.plan.slowest_disk);
    parts_.queue.push(disk_free_at_, Happening::kStateSaved, index_, saves_.size() - 1);
  } else if (const auto* line = std::get_if<RendezvousSay>(&effect)) {
    if (parts_.trace.on() && line->level != RendezvousLevel::kDebug) say("| " + line->line);
  } else if (parts_.etcd) {
    last_word_ = std::get<CoordinatorDone>(effect).end;
    parts_.leave_etcd(host_agent_, machine_->job_is_over());
    if (parts_.trace.on()) say("is done: " + describe(*last_word_));
  } else {
    end_ = news_ = std::get<CoordinatorDone>(effect).end;
    file_.state.reset();
    if (parts_.trace.on()) say("is done: " + describe(std::get<CoordinatorDone>(effect).end));
  }
}

void CoordinatorProcess::saved(uint64_t ticket) {
  const SaveState& save = saves_[ticket];
  if (file_.fails) return step(StateSaved{save.ticket, "No space left on device"}, parts_.now);
  file_.state = save.state;
  file_.written = parts_.now;
  parts_.checker.state_on_disk(save.state);
  step(StateSaved{save.ticket, ""}, parts_.now);
}

void CoordinatorProcess::saved_in_etcd(uint64_t save, const std::string& error) {
  step(StateSaved{saves_[save].ticket, error}, parts_.now);
}

void CoordinatorProcess::signal(int number) {
  if (!running_) return;
  told_to_stop_ = true;
  step(CoordinatorStopped{number}, parts_.now);
}

void CoordinatorProcess::leave_file() {
  if (host_agent_ != kNone) file_.written = parts_.now;
}

void CoordinatorProcess::kill() {
  if (!running_) return;
  running_ = false;
  leave_file();
  if (parts_.trace.on()) say("ends");
  for (const ConnectionIndex connection : connections_) {
    parts_.network.close(parts_.now, connection, Side::kServer);
  }
}

void CoordinatorProcess::vanish() {
  if (!running_) return;
  running_ = false;
  leave_file();
  if (parts_.trace.on()) say("its host loses power");
  for (const ConnectionIndex connection : connections_) parts_.network.vanish(connection, Side::kServer);
}

}  // namespace ferrun::sim
