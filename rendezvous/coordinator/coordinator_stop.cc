// The coordinator machine's running rounds: what ends them, and what follows.
#include <algorithm>

#include "rendezvous/coordinator/coordinator_impl.h"
#include "rendezvous/job/wording.h"

namespace ferrun {

// --- While it runs. ---

void CoordinatorMachine::Impl::hear(Member& member, const WorkerSucceeded& news) {
  if (concerns(member, news.round, Phase::kRunning)) running_.note_success();
}

void CoordinatorMachine::Impl::hear(Member& member, const NodeFinished& news) {
  if (member.held == news.round) members_.release(member);
  if (concerns(member, news.round, Phase::kRunning)) running_.note_finished(*member.seat);
}

void CoordinatorMachine::Impl::hear(Member& member, const NodeFailed& news) {
  if (concerns(member, news.round, Phase::kRunning)) {
    fail_round(member, news.failures);
  } else if (concerns(member, news.round, Phase::kStopping)) {
    see_failures(member, news.failures);
  }
}

void CoordinatorMachine::Impl::fail_round(Member& member, const std::vector<LocalFailure>& failures) {
  const bool told = !failures.empty() && !failures.front().report.empty();
  const std::string what = told ? plain_text(failures.front().report.front()) : "a worker failed";
  const bool explained = failures.empty() || std::ranges::any_of(failures, explains_itself, &LocalFailure::kind);
  begin_stop(explained ? StopKind::kFailure : StopKind::kLostPeer, member.host + ": " + what, true);
  see_failures(member, failures);
  if (stopping_->has_seen_any()) return;
  LocalFailure unknown;  // it said so, and not what
  unknown.report = {"a worker failed; the node told nothing of it"};
  see_failures(member, {unknown});
}

void CoordinatorMachine::Impl::see_failures(const Member& member, const std::vector<LocalFailure>& failures) {
  stopping_->see_failures(round_->at(*member.seat), *member.seat, failures, member.round_trip, now_);
  hasten_stop();
}

// Who is to blame has said so: nobody has to be left time for that any more.
void CoordinatorMachine::Impl::hasten_stop() {
  if (!stopping_->turn_into_failure(now_)) return;
  tell_round(Stop{round_->id(), StopKind::kFailure, stopping_->reason()});
}

void CoordinatorMachine::Impl::watch_round() {
  switch (running_.step(joined(), now_, stall_.judged())) {
    case RunningRound::Step::kRun: return;
    case RunningRound::Step::kSuccess: return close({JobEnd::Kind::kSuccess, 0, {}});
    case RunningRound::Step::kScale: {
      Gathering nodes;
      members_.describe(nodes);
      begin_stop(StopKind::kMembership, listed(nodes.ready.names, nodes.ready.count) + " joined", false);
    }
  }
}

// --- While it is stopped. ---

void CoordinatorMachine::Impl::begin_stop(StopKind kind, const std::string& reason, bool cause_wanted) {
  phase_ = Phase::kStopping;
  const StopInquiry::Limits limits{config_.cause_wait, config_.silence + config_.reset_grace, config_.min_uptime};
  stopping_.emplace(limits, kind, reason, cause_wanted, *round_, now_);
  note_change(reason);
  ask_round(Stop{round_->id(), kind, reason});
  for (const RoundRoster::Seat& seat : round_->seats()) {
    if (seat.member != nullptr && seat.member->may_answer()) stopping_->await(*seat.member->seat);
  }
  say(RendezvousLevel::kInfo, "round " + to_string(round_->id()) + " is being stopped: " + reason);
}

void CoordinatorMachine::Impl::hear(Member& member, const StopAcknowledged& news) {
  if (concerns(member, news.round, Phase::kRunning)) {
    if (!news.failures.empty()) fail_round(member, news.failures);
  } else if (concerns(member, news.round, Phase::kStopping)) {
    if (stopping_->awaits(*member.seat)) note_round_trip(member);
    see_failures(member, news.failures);
    stopping_->acknowledge(*member.seat);
  }
}

void CoordinatorMachine::Impl::hear(Member& member, const NodeReaped& news) {
  if (member.held == news.round) members_.release(member);
  if (concerns(member, news.round, Phase::kStopping)) {
    stopping_->note_reaped(*member.seat);
  } else if (concerns(member, news.round, Phase::kRunning) && !running_.has_finished(*member.seat)) {
    lose_workers(member, "its workers are gone, and nobody had asked for that");
  }
}

void CoordinatorMachine::Impl::advance_stop() {
  if (stopping_->cause_wanted()) {
    if (!stopping_->is_ripe(stall_.judged())) return;
    decide_cause();
    if (phase_ != Phase::kStopping) return;
  }
  if (members_.stopping() > 0) return;
  round_->vacate_all();
  stopping_.reset();
  phase_ = Phase::kGathering;
}

void CoordinatorMachine::Impl::decide_cause() {
  StopInquiry::Verdict verdict = stopping_->decide(config_.restart, record_.restarts_left());
  last_change_ = verdict.cause;
  switch (verdict.kind) {
    case StopInquiry::Verdict::Kind::kNextRound: return;
    case StopInquiry::Verdict::Kind::kRestart: return restart(verdict);
    case StopInquiry::Verdict::Kind::kFailed: return close(std::move(verdict.end));
  }
}

void CoordinatorMachine::Impl::restart(const StopInquiry::Verdict& verdict) {
  const bool is_free = !verdict.rule.empty();
  if (!is_free) record_.spend_restart();
  const Duration delay = delays_.next(verdict.lasted, is_free);
  if (delay > Duration::zero()) gathering_.hold_back(now_ + delay);
  const std::string cost =
      is_free ? "it is started again (--on-exit=" + verdict.rule + ")"
              : "restart " + std::to_string(record_.restarts()) + " of " + std::to_string(config_.max_restarts);
  say(RendezvousLevel::kWarning,
      last_change_ + "; " + cost + (delay > Duration::zero() ? ", in " + in_words(delay) : ""));
}

}  // namespace ferrun
