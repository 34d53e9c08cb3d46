#include "rendezvous/coordinator/coordinator_machine.h"

#include <algorithm>

#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

CoordinatorConfig sane(CoordinatorConfig config) {
  config.min_nodes = std::max(config.min_nodes, 1);
  config.max_nodes = std::max(config.max_nodes, config.min_nodes);
  config.max_restarts = std::max(config.max_restarts, 0);
  return config;
}

}  // namespace

CoordinatorMachine::CoordinatorMachine(CoordinatorConfig config, std::optional<CoordinatorState> saved, TimePoint now)
    : impl_(std::make_unique<Impl>(std::move(config), std::move(saved), now)) {}
CoordinatorMachine::~CoordinatorMachine() = default;
CoordinatorMachine::CoordinatorMachine(CoordinatorMachine&&) noexcept = default;
CoordinatorMachine& CoordinatorMachine::operator=(CoordinatorMachine&&) noexcept = default;

void CoordinatorMachine::step(const CoordinatorEvent& event, TimePoint now) { impl_->step(event, now); }
std::optional<TimePoint> CoordinatorMachine::next_deadline() const { return impl_->next_deadline(); }
std::vector<CoordinatorEffect> CoordinatorMachine::take_effects() { return impl_->outbox_.take(); }
CoordinatorMachine::Phase CoordinatorMachine::phase() const { return impl_->phase_; }
bool CoordinatorMachine::job_is_over() const { return impl_->closing_.has_value(); }
RoundId CoordinatorMachine::round() const { return impl_->record_.newest(); }
std::string CoordinatorMachine::reason() const { return impl_->reason(); }
JobStatus CoordinatorMachine::status(TimePoint now) const { return impl_->status(now); }
std::string CoordinatorMachine::status_json(TimePoint now) const { return to_json(impl_->status(now)); }

CoordinatorMachine::Impl::Impl(CoordinatorConfig config, std::optional<CoordinatorState> saved, TimePoint now)
    : config_(sane(std::move(config))),
      fence_(config_.lease + config_.lease / 100 + config_.stop_bound),
      now_(now),
      stall_(kMachineStall, now),
      started_(now),
      members_({config_.silence, config_.reset_grace, fence_}),
      terms_(config_.terms, terms_origin()),
      record_(config_.launch_id, config_.max_restarts),
      places_({config_.loss_window, config_.losses_to_bar, config_.first_bar, config_.loss_window}, config_.max_nodes,
              exact_ranks()),
      announcer_(now),
      gathering_({config_.min_nodes, config_.max_nodes, config_.last_call}),
      running_({static_cast<size_t>(config_.max_nodes), config_.scale_interval}),
      delays_(config_.restart),
      last_change_at_(now) {
  if (saved) take_over(*saved);
  if (!closing_) claim_incarnation();
  advance();
}

void CoordinatorMachine::Impl::take_over(const CoordinatorState& saved) {
  record_.restore(saved);
  terms_.adopt(required_terms(saved.terms), "the coordinator");
  if (saved.closed) {
    record_.take_up_saved_launch();
    phase_ = Phase::kClosing;
    closing_.emplace(*saved.closed, now_ + config_.close_timeout);
    closing_->note_told();
    for (const CoordinatorState::Member& member : saved.members) closing_->expect(member.agent);
  } else if (!saved.newest.none()) {
    recover_saved();
  }
}

void CoordinatorMachine::Impl::step(const CoordinatorEvent& event, TimePoint now) {
  if (phase_ == Phase::kClosed) return;
  now = std::max(now, now_);
  stall_.notice(earliest_deadline(), now);
  now_ = now;
  const Phase before = phase_;
  std::visit([this](const auto& fact) { on(fact); }, event);
  advance();
  if (phase_ != before) announcer_.note_news();
  explain();
}

std::optional<TimePoint> CoordinatorMachine::Impl::earliest_deadline() const {
  std::optional<TimePoint> next = members_.next_deadline();
  const auto add = [&next](std::optional<TimePoint> due) {
    if (due && (!next || *due < *next)) next = due;
  };
  switch (phase_) {
    case Phase::kGathering: add(gathering_.deadline()); break;
    case Phase::kPreparing: add(preparation_->deadline()); break;
    case Phase::kRunning:
      if (running_.wants_to_scale(joined())) add(running_.scale_at());
      break;
    case Phase::kStopping:
      if (stopping_->cause_wanted()) add(stopping_->cause_deadline());
      break;
    case Phase::kClosing: add(closing_->until()); break;
    case Phase::kClosed: break;
  }
  if (takeover_) add(takeover_->until());
  return next;
}

std::optional<TimePoint> CoordinatorMachine::Impl::next_deadline() const {
  if (phase_ == Phase::kClosed) return std::nullopt;
  std::optional<TimePoint> next = earliest_deadline();
  if (next) next = stall_.judged_at(*next);
  const bool explains = phase_ != Phase::kClosing;
  if (const auto due = announcer_.deadline(); explains && due && (!next || *due < *next)) next = due;
  if (next) next = std::max(*next, now_);
  return next;
}

void CoordinatorMachine::Impl::on(const PeerArrived& event) {
  if (PeerSession* earlier = members_.session(event.connection))
    lose_connection(*earlier, LossKind::kReset, "replaced");
  members_.open(event, now_);
}

void CoordinatorMachine::Impl::on(const PeerSaid& event) {
  PeerSession* session = members_.session(event.connection);
  if (session == nullptr) return;
  const bool silent = session->member != nullptr && session->member->link == Member::Link::kSilent;
  if (silent && !may_return(*session)) return;
  members_.heard(*session, now_);
  if (silent && phase_ == Phase::kClosing && closing_->is_told() && !session->member->leaving) {
    closing_->await(session->agent);
  }
  if (const Join* request = std::get_if<Join>(&event.message)) {
    join(*session, *request);
  } else if (const StatusRequest* question = std::get_if<StatusRequest>(&event.message)) {
    outbox_.tell(session->connection, StatusReply{question->id, to_json(status(now_))});
  } else if (session->member != nullptr) {
    if (!std::holds_alternative<Heartbeat>(event.message)) announcer_.note_news();
    std::visit([this, session](const auto& message) { hear(*session->member, message); }, event.message);
  }
}

void CoordinatorMachine::Impl::hear(Member& member, const Heartbeat& heartbeat) {
  outbox_.tell(member, HeartbeatAnswer{heartbeat.number});
}

void CoordinatorMachine::Impl::on(const StateSaved& event) {
  const bool failed = !event.error.empty();
  if (last_save_ != 0 && event.ticket == last_save_) return finish(*retiring_);
  const auto warn = [&](const std::string& what) { say(RendezvousLevel::kWarning, what + ": " + event.error); };
  if (claim_.answered(event.ticket, event.error, now_)) {
    if (failed) warn("no round can start before the coordinator's state is saved");
  } else if (phase_ == Phase::kPreparing && preparation_->note_saved(event.ticket, event.error, now_)) {
    if (failed) warn("round " + to_string(round_->id()) + " cannot start before the coordinator's state is saved");
  } else if (phase_ == Phase::kClosing && closing_->note_saved(event.ticket)) {
    if (failed) warn("the end of the job could not be saved");
    tell_close();
  }
}

void CoordinatorMachine::Impl::on(const CoordinatorStopped& event) {
  const JobEnd end{JobEnd::Kind::kStopped,
                   event.signal > 0 ? 128 + event.signal : kExitRendezvous,
                   {"the coordinator was told to stop" + (event.signal > 0 ? " by " + signal_name(event.signal) : "")}};
  if (retiring_) return finish(end);
  retiring_ = end;
  if (phase_ != Phase::kClosing && config_.own_process) close(end);
}

void CoordinatorMachine::Impl::on(const CoordinatorDeadline&) {
  for (PeerSession* session : members_.take_silent(stall_.judged())) fall_silent(*session);
  for (Member* member : members_.graces_over(stall_.judged())) {
    members_.give_up(*member);
    lose(*member, "its connection broke and it did not come back");
    erase_if_done(*member);
  }
  for (Member* member : members_.fences_over(stall_.judged())) {
    say(RendezvousLevel::kInfo, "the lease of " + member->host + " is over: none of its workers is left");
    erase_if_done(*member);
    announcer_.note_news();
  }
}

void CoordinatorMachine::Impl::advance() {
  end_recovery_if_over();
  for (;;) {
    const Phase before = phase_;
    if (retiring_ && before != Phase::kClosing && before != Phase::kClosed) retire();
    switch (phase_) {
      case Phase::kGathering: gather(); break;
      case Phase::kPreparing: advance_preparation(); break;
      case Phase::kRunning: watch_round(); break;
      case Phase::kStopping: advance_stop(); break;
      case Phase::kClosing: advance_close(); break;
      case Phase::kClosed: break;
    }
    if (phase_ == before) return;
  }
}

// The agent that hosts this coordinator leaves, and takes it along once its own member has gone. Nothing is begun any
// more, and nobody is told that the job has ended: another coordinator may go on with it. Who leaves too may still be
// saving, and needs its lease for that; how long that may take is the agent's matter.
void CoordinatorMachine::Impl::retire() {
  if (members_.find(config_.host_agent) != nullptr || last_save_ != 0) return;
  if (std::ranges::any_of(members_.all(), [](const Member* member) { return member->may_be_saving(); })) return;
  if (!config_.has_successors) return finish(*retiring_);
  last_save_ = outbox_.save(state_for_successor());
}

void CoordinatorMachine::Impl::gather() {
  if (retiring_) return gathering_.wait_for("the coordinator's own node leaves");
  const int signal = departures_.last_signal();
  if (config_.own_process && members_.size() == 0 && signal != 0 && !departures_.settles(stall_.judged())) {
    return close(
        {JobEnd::Kind::kStopped, 128 + signal, {"all nodes have left, the last one by " + signal_name(signal)}});
  }
  if (!gathering_.step(nodes(), now_, stall_.judged())) return;
  if (claim_incarnation()) return begin_round(gathering_.why());
  gathering_.wait_for(claim_.words(), claim_.again_at());
}

bool CoordinatorMachine::Impl::claim_incarnation() {
  const uint64_t incarnation = record_.incarnation();
  if (claim_.holds(incarnation)) return true;
  if (claim_.may_ask(stall_.judged())) claim_.asked(outbox_.save(state(std::nullopt)), incarnation);
  return false;
}

Gathering CoordinatorMachine::Impl::nodes() const {
  const TimePoint judged = stall_.judged();
  Gathering nodes;
  members_.describe(nodes);
  nodes.absent = departures_.clauses(judged);
  if (takeover_) {
    nodes.recovery_end = takeover_->until();
    nodes.recovery = takeover_->words();
  }
  if (departures_.settles(judged)) {
    nodes.settle_end = departures_.settle_end();
    nodes.settle = departures_.settle_line();
  }
  return nodes;
}

void CoordinatorMachine::Impl::tell_round(CoordinatorMessage message) {
  std::vector<ConnectionId> connections;
  connections.reserve(round_->size());
  for (const RoundRoster::Seat& seat : round_->seats()) {
    if (seat.member == nullptr || seat.member->session == nullptr) continue;
    connections.push_back(seat.member->session->connection);
  }
  outbox_.tell_all(std::move(connections), std::move(message));
}

void CoordinatorMachine::Impl::ask_round(CoordinatorMessage message) {
  for (const RoundRoster::Seat& seat : round_->seats()) {
    if (seat.member != nullptr) seat.member->asked_at = now_;
  }
  tell_round(std::move(message));
}

void CoordinatorMachine::Impl::disconnect(PeerSession& session) {
  outbox_.disconnect(session.connection);
  members_.close(session, now_);
}

CoordinatorState CoordinatorMachine::Impl::state(std::optional<JobEnd> closed) const {
  CoordinatorState state{record_.incarnation(), record_.newest(),    {},
                         record_.restarts(),    record_.launch_id(), terms_.list(),
                         std::move(closed),     config_.job_id};
  if (state.closed) {
    for (const Member* member : members_.all()) {
      state.members.push_back({member->agent, member->host, member->seat.value_or(-1)});
    }
  } else if (!record_.own_round()) {
    state.members = record_.saved_members();
    if (record_.unproven()) {
      state.restarts = record_.unproven()->restarts;
      state.launch_id = record_.unproven()->launch_id;
    }
  } else if (round_) {
    state.members = round_->members();
  }
  return state;
}

// Whose workers are gone need not come back, nor be waited for.
CoordinatorState CoordinatorMachine::Impl::state_for_successor() {
  CoordinatorState left = state(std::nullopt);
  if (!round_ || round_->id() != left.newest) return left;
  if (record_.own_round()) left.members = round_->everybody();
  for (CoordinatorState::Member& saved : left.members) {
    const bool was_here = round_->at(saved.node_rank).agent == saved.agent;
    const Member* member = members_.find(saved.agent);
    if (was_here && (member == nullptr || !member->held)) saved.remains = Remains::kNone;
  }
  return left;
}

void CoordinatorMachine::Impl::note_change(const std::string& reason) {
  last_change_ = reason;
  last_change_at_ = now_;
}

}  // namespace ferrun
