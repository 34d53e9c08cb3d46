#include "rendezvous/member/member_machine.h"

#include <algorithm>

#include "common/duration_text.h"
#include "rendezvous/member/member_impl.h"

namespace ferrun {
namespace {

constexpr Duration kLeastExplainInterval = std::chrono::milliseconds(1);
// Between two lines of a spare's.
constexpr int kSpareIntervals = 60;

}  // namespace

MemberMachine::MemberMachine(MemberConfig config, TimePoint now)
    : impl_(std::make_unique<Impl>(std::move(config), now)) {}
MemberMachine::~MemberMachine() = default;
MemberMachine::MemberMachine(MemberMachine&&) noexcept = default;
MemberMachine& MemberMachine::operator=(MemberMachine&&) noexcept = default;

void MemberMachine::step(const MemberEvent& event, TimePoint now) { impl_->step(event, now); }
std::optional<TimePoint> MemberMachine::next_deadline() const { return impl_->next_deadline(); }
std::vector<MemberEffect> MemberMachine::take_effects() { return std::exchange(impl_->effects_, {}); }
MemberMachine::Phase MemberMachine::phase() const { return impl_->phase(); }
RoundId MemberMachine::round() const { return impl_->newest_; }
std::string MemberMachine::reason() const { return impl_->reason(); }
std::optional<TimePoint> MemberMachine::lease_end() const {
  return impl_->work_.alive() ? impl_->lease_.end() : std::nullopt;
}

MemberMachine::Impl::Impl(MemberConfig config, TimePoint now)
    : config_(std::move(config)), now_(now), stall_(kMachineStall, now), changed_at_(now), unplaced_since_(now) {
  config_.explain_interval = std::max(config_.explain_interval, kLeastExplainInterval);
  dial();
  settle();
}

// The lease comes first: an event that arrives after its end finds the workers killed. What was said counts before its
// sender is judged by its silence.
void MemberMachine::Impl::step(const MemberEvent& event, TimePoint now) {
  if (done_) return;
  now_ = now;
  stall_.notice(session_end(), now_);
  expire_lease();
  std::visit([this](const auto& fact) { on(fact); }, event);
  expire();
  settle();
}

// Follows from what there is, so that the two cannot disagree.
MemberMachine::Phase MemberMachine::Impl::phase() const {
  if (done_) return Phase::kDone;
  if (leaving_) return Phase::kLeaving;
  if (work_.state == Work::kRunning) return Phase::kRunning;
  if (preparation_) return Phase::kPreparing;
  if (work_.state == Work::kStopping) return Phase::kStopping;
  if (work_.state == Work::kFinished) return Phase::kFinished;
  return welcomed() ? Phase::kWaiting : Phase::kSeeking;
}

std::optional<TimePoint> MemberMachine::Impl::next_deadline() const {
  if (done_) return std::nullopt;
  std::optional<TimePoint> next;
  const auto add = [&next](std::optional<TimePoint> due) {
    if (due && (!next || *due < *next)) next = due;
  };
  if (work_.alive() && !work_.killed) add(lease_.end());
  add(lease_.next_heartbeat());
  if (const auto due = session_end()) add(stall_.judged_at(*due));
  add(retry_at_);
  add(stop_at_);
  add(give_up_at());
  if (waits_since_) add(explain_at_);
  return next;
}

void MemberMachine::Impl::expire() {
  if (done_) return;
  expire_lease();
  expire_session();
  if (retry_at_ && *retry_at_ <= now_) dial();
  give_up_if_due();
  if (const auto due = lease_.next_heartbeat(); due && *due <= now_) tell(lease_.send(now_));
  explain_if_due();
}

void MemberMachine::Impl::expire_lease() {
  if (work_.alive() && !work_.killed && lease_.over(now_)) {
    kill_workers("no answer from the coordinator for " + exact_text(lease_.length()) + ": the lease has ended");
  }
  if (stop_at_ && *stop_at_ <= now_) {
    stop_at_.reset();
    stop_workers(StopKind::kLoss, 0, "the coordinator at " + coordinator_ + " is out of reach");
  }
}

// When the session is given up for want of an answer.
std::optional<TimePoint> MemberMachine::Impl::session_end() const {
  // On its way out it dials no more: a coordinator that stood still may speak again on this connection.
  if (!session_ || leaving_) return std::nullopt;
  return session_->welcomed ? lease_.silent_at() : session_->joined + config_.answer_timeout;
}

// A connection may stand for ever without a word; only another one shows whether the coordinator is there.
void MemberMachine::Impl::expire_session() {
  const std::optional<TimePoint> due = session_end();
  if (!due || !stall_.is_over(*due)) return;
  say(RendezvousLevel::kWarning, "no answer from the coordinator at " + session_->where + ": connecting again");
  end_session();
  dial();
}

std::optional<TimePoint> MemberMachine::Impl::give_up_at() const {
  std::optional<TimePoint> due;
  if (leaving_) return due;
  if (lost_since_) due = *lost_since_ + config_.coordinator_timeout;
  if (unplaced_since_ && !preparation_) {
    const TimePoint unplaced = *unplaced_since_ + config_.join_timeout;
    due = due ? std::min(*due, unplaced) : unplaced;
  }
  return due;
}

void MemberMachine::Impl::give_up_if_due() {
  const std::optional<TimePoint> due = give_up_at();
  if (!due || now_ < *due) return;
  std::string why;
  if (lost_since_ && *lost_since_ + config_.coordinator_timeout <= now_) {
    why = "the coordinator did not come back within " + exact_text(config_.coordinator_timeout);
  } else {
    why = "this node became part of no group within " + exact_text(config_.join_timeout);
  }
  why += ": " + reason();
  say_goodbye(0, why);
  leave({JobEnd::Kind::kRendezvous, kExitRendezvous, {why}}, 0, why);
}

// For something that the user did not ask for and may want to know: a place in a round, a lost coordinator.
bool MemberMachine::Impl::waits() const {
  if (leaving_ || done_) return false;
  if (!welcomed()) return true;
  return !work_.alive() && work_.state != Work::kFinished;
}

void MemberMachine::Impl::explain_if_due() {
  if (!waits_since_ || now_ < explain_at_ || !waits()) return;
  say(RendezvousLevel::kWarning, reason() + " (" + age_text(now_ - *waits_since_) + ")");
  const bool spare = welcomed() && !unplaced_since_;  // that may last for days, and is well
  explain_at_ = now_ + config_.explain_interval * (spare ? kSpareIntervals : 1);
}

void MemberMachine::Impl::settle() {
  hold_lease();
  if (!waits()) {
    waits_since_.reset();
  } else if (!waits_since_) {
    waits_since_ = now_;
    explain_at_ = now_ + config_.explain_interval;
  }
  if (leaving_ && !work_.alive()) finish();
}

}  // namespace ferrun
