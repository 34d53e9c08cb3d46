#include "rendezvous/coordinator/coordinator_machine.h"

#include <algorithm>

#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;

// A deadline that is noticed later than this shows that the process stood still.
constexpr Duration kStall = 100ms;
// For what the sockets hold after a stall. A machine that is always late must come to decisions nevertheless.
constexpr Duration kDrain = 100ms;
constexpr Duration kStallWhileDraining = 1s;
constexpr Duration kSaveAgain = 1s;  // after it failed

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
std::vector<CoordinatorEffect> CoordinatorMachine::take_effects() { return std::exchange(impl_->effects_, {}); }
CoordinatorMachine::Phase CoordinatorMachine::phase() const { return impl_->phase_; }
RoundId CoordinatorMachine::round() const { return impl_->newest_; }
std::string CoordinatorMachine::reason() const { return impl_->reason(); }
std::string CoordinatorMachine::status_json(TimePoint now) const { return impl_->status_json(now); }

CoordinatorMachine::Impl::Impl(CoordinatorConfig config, std::optional<CoordinatorState> saved, TimePoint now)
    : config_(sane(std::move(config))),
      fence_(config_.lease + config_.lease / 100 + config_.stop_bound),
      now_(now),
      judged_(now),
      stall_over_(now),
      started_(now),
      members_({config_.silence, config_.reset_grace, fence_}),
      terms_(config_.terms, terms_origin()),
      flaps_({config_.loss_window, config_.losses_to_bar, config_.first_bar, config_.loss_window}),
      launch_id_(config_.launch_id),
      last_change_at_(now),
      explain_at_(now),
      recount_at_(now) {
  if (saved) take_over(*saved);
  if (!closing_) claim_incarnation();
  advance();
}

void CoordinatorMachine::Impl::take_over(const CoordinatorState& saved) {
  incarnation_ = saved.incarnation + 1;
  newest_ = saved.newest;
  terms_.adopt(required_terms(saved.terms), "the coordinator");
  saved_members_ = saved.members;
  unproven_ = saved;
  if (saved.closed) {
    take_up_saved_launch();
    phase_ = Phase::kClosing;
    closing_ = Closing{*saved.closed, now_ + config_.close_timeout, 0, true, 0, {}};
    for (const CoordinatorState::Member& member : saved.members) closing_->expected.insert(member.agent);
  } else if (!newest_.none()) {
    recover_saved(saved.members);
  }
}

void CoordinatorMachine::Impl::take_up_saved_launch() {
  restarts_ = std::max(restarts_, std::clamp(unproven_->restarts, 0, config_.max_restarts));
  learn_launch_id(unproven_->launch_id);
  unproven_.reset();
}

void CoordinatorMachine::Impl::step(const CoordinatorEvent& event, TimePoint now) {
  if (phase_ == Phase::kClosed) return;
  now = std::max(now, now_);
  notice_stall(now);
  now_ = now;
  const Phase before = phase_;
  std::visit([this](const auto& fact) { on(fact); }, event);
  advance();
  if (phase_ != before) news_ = true;
  explain();
}

void CoordinatorMachine::Impl::notice_stall(TimePoint now) {
  if (const auto due = earliest_deadline()) {
    const bool draining = *due <= stall_over_;
    const TimePoint expected = std::max(*due, stall_over_);
    if (now - expected > (draining ? kStallWhileDraining : kStall)) stall_over_ = now + kDrain;
  }
  if (now >= stall_over_) judged_ = now;
}

std::optional<TimePoint> CoordinatorMachine::Impl::earliest_deadline() const {
  std::optional<TimePoint> next = members_.next_deadline();
  const auto add = [&next](std::optional<TimePoint> due) {
    if (due && (!next || *due < *next)) next = due;
  };
  switch (phase_) {
    case Phase::kGathering: add(decision_.until); break;
    case Phase::kPreparing:
      add(round_->prepare_end);
      add(round_->save_again);
      break;
    case Phase::kRunning:
      if (wants_to_scale()) add(scale_at_);
      break;
    case Phase::kStopping:
      if (stopping_->cause_wanted) add(cause_deadline());
      break;
    case Phase::kClosing: add(closing_->until); break;
    case Phase::kClosed: break;
  }
  if (recovery_) add(recovery_->until);
  return next;
}

std::optional<TimePoint> CoordinatorMachine::Impl::next_deadline() const {
  if (phase_ == Phase::kClosed) return std::nullopt;
  std::optional<TimePoint> next = earliest_deadline();
  if (next) next = std::max(*next, stall_over_);
  if (const auto due = explain_deadline(); due && (!next || *due < *next)) next = due;
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
  if (silent && phase_ == Phase::kClosing && closing_->told && !session->member->leaving) await_end(*session->member);
  if (const Join* request = std::get_if<Join>(&event.message)) {
    join(*session, *request);
  } else if (const StatusRequest* question = std::get_if<StatusRequest>(&event.message)) {
    effects_.emplace_back(Tell{session->connection, StatusReply{question->id, status_json(now_)}});
  } else if (session->member != nullptr) {
    if (!std::holds_alternative<Heartbeat>(event.message)) news_ = true;
    std::visit([this, session](const auto& message) { hear(*session->member, message); }, event.message);
  }
}

void CoordinatorMachine::Impl::hear(Member& member, const Heartbeat& heartbeat) {
  tell(member, HeartbeatAnswer{heartbeat.number});
}

void CoordinatorMachine::Impl::on(const StateSaved& event) {
  if (event.ticket == 0) return;
  if (event.ticket == claim_ticket_) {
    claim_ticket_ = 0;
    claim_error_ = event.error;
    if (event.error.empty()) {
      claimed_ = claiming_;
    } else {
      claim_again_ = now_ + kSaveAgain;
      say(RendezvousLevel::kWarning, "no round can start before the coordinator's state is saved: " + event.error);
    }
  } else if (phase_ == Phase::kPreparing && round_->save_ticket == event.ticket) {
    round_->save_ticket = 0;
    if (event.error.empty()) return;
    round_->save_again = now_ + kSaveAgain;
    say(RendezvousLevel::kWarning,
        "round " + to_string(round_->id) + " cannot start before the coordinator's state is saved: " + event.error);
  } else if (phase_ == Phase::kClosing && closing_->save_ticket == event.ticket) {
    closing_->save_ticket = 0;
    if (!event.error.empty()) {
      say(RendezvousLevel::kWarning, "the end of the job could not be saved: " + event.error);
    }
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
  for (PeerSession* session : members_.take_silent(judged_)) fall_silent(*session);
  for (Member* member : members_.graces_over(judged_)) {
    members_.give_up(*member);
    lose(*member, "its connection broke and it did not come back");
    erase_if_done(*member);
  }
  for (Member* member : members_.fences_over(judged_)) {
    say(RendezvousLevel::kInfo, "the lease of " + member->host + " is over: none of its workers is left");
    erase_if_done(*member);
    news_ = true;
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
// more, and nobody is told that the job has ended: another coordinator may go on with it.
void CoordinatorMachine::Impl::retire() {
  if (members_.find(config_.host_agent) == nullptr) finish(*retiring_);
}

void CoordinatorMachine::Impl::gather() {
  if (retiring_) {
    decision_ = {false, "the coordinator's own node leaves", std::nullopt};
    return;
  }
  if (config_.own_process && members_.size() == 0 && goodbye_signal_ != 0 && is_over(settle_end_)) {
    return close({JobEnd::Kind::kStopped,
                  128 + goodbye_signal_,
                  {"all nodes have left, the last one by " + signal_name(goodbye_signal_)}});
  }
  const bool enough = members_.ready() >= static_cast<size_t>(config_.min_nodes);
  if (!enough) last_call_end_.reset();
  if (enough && !last_call_end_ && config_.min_nodes != config_.max_nodes) last_call_end_ = now_ + config_.last_call;
  decision_ = decide_round(gathering(), judged_);
  if (decision_.form && claim_incarnation()) return begin_round(decision_.why);
  if (decision_.form)
    decision_ = {false, claim_words(), claim_ticket_ == 0 ? std::optional(claim_again_) : std::nullopt};
}

bool CoordinatorMachine::Impl::claim_incarnation() {
  if (claimed_ == incarnation_) return true;
  if (claim_ticket_ != 0 || !is_over(claim_again_)) return false;
  SaveState state = save(std::nullopt);
  claim_ticket_ = state.ticket;
  claiming_ = incarnation_;
  effects_.emplace_back(std::move(state));
  return false;
}

Gathering CoordinatorMachine::Impl::gathering() const {
  Gathering nodes;
  nodes.min_nodes = config_.min_nodes;
  nodes.max_nodes = config_.max_nodes;
  members_.describe(nodes);
  for (const Departure& departure : departures_) {
    if (departure.until && is_over(*departure.until)) continue;
    nodes.absent.push_back(departure.host + " " + departure.what +
                           (departure.until ? " for " + in_words(*departure.until - judged_) : ""));
  }
  if (recovery_) {
    nodes.recovery_end = recovery_->until;
    nodes.recovery = recovery_words();
  }
  if (!is_over(settle_end_)) {
    nodes.settle_end = settle_end_;
    nodes.settle = settle_;
  }
  nodes.last_call_end = last_call_end_;
  return nodes;
}

void CoordinatorMachine::Impl::tell(const Member& member, CoordinatorMessage message) {
  if (member.session != nullptr) effects_.emplace_back(Tell{member.session->connection, std::move(message)});
}

void CoordinatorMachine::Impl::tell_round(CoordinatorMessage message) {
  TellAll all{{}, std::move(message)};
  all.connections.reserve(round_->seats.size());
  for (const Seat& seat : round_->seats) {
    if (seat.member == nullptr || seat.member->session == nullptr) continue;
    all.connections.push_back(seat.member->session->connection);
    seat.member->asked_at = now_;
  }
  if (!all.connections.empty()) effects_.emplace_back(std::move(all));
}

void CoordinatorMachine::Impl::disconnect(PeerSession& session) {
  effects_.emplace_back(Disconnect{session.connection});
  members_.close(session, now_);
}

SaveState CoordinatorMachine::Impl::save(std::optional<JobEnd> closed) {
  CoordinatorState state{incarnation_,      newest_,       {}, restarts_, launch_id_, terms_.list(),
                         std::move(closed), config_.job_id};
  if (state.closed) {
    for (const Member* member : members_.all()) {
      state.members.push_back({member->agent, member->host, member->seat.value_or(-1)});
    }
  } else if (!own_round_) {
    state.members = saved_members_;
    if (unproven_) {
      state.restarts = unproven_->restarts;
      state.launch_id = unproven_->launch_id;
    }
  } else {
    for (const Seat& seat : round_->seats) {
      if (seat.member == nullptr) continue;
      state.members.push_back({seat.member->agent, seat.host, *seat.member->seat});
    }
  }
  return {++ticket_, std::move(state)};
}

}  // namespace ferrun
