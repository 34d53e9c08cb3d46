#include "launcher/workers/group_machine.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "common/duration_text.h"

namespace ferrun {
namespace {

using State = WorkerRecord::State;

}  // namespace

GroupMachine::GroupMachine(int workers, Duration grace, int first_rank)
    : grace_(grace), first_rank_(first_rank), workers_(static_cast<size_t>(workers)) {
  for (int rank = 0; rank < workers; ++rank) worker(rank).local_rank = rank;
  ask_for_next_start();
}

void GroupMachine::step(const GroupEvent& event, TimePoint now) {
  std::visit([this, now](const auto& fact) { on(fact, now); }, event);
  settle();
}

std::vector<GroupEffect> GroupMachine::take_effects() { return std::exchange(effects_, {}); }

void GroupMachine::on(const RankStarted& event, TimePoint now) {
  WorkerRecord& started = worker(event.local_rank);
  if (started.state != State::kStarting) return;
  started.state = State::kRunning;
  started.pid = event.pid;
  started.started_at = now;
  if (phase_ == Phase::kStarting) ask_for_next_start();
  // Its start was under way when the group was told to stop. Whose turn comes later is asked with the others.
  if (phase_ == Phase::kStopping && !waits_for_words()) send(started, stop_signal_);
  if (phase_ == Phase::kKilling) send(started, SIGKILL);
}

void GroupMachine::on(const RankNotStarted& event, TimePoint now) {
  WorkerRecord& missing = worker(event.local_rank);
  if (missing.state != State::kStarting) return;
  missing.state = State::kFailedToStart;
  missing.start_error = event.error;
  missing.ended_at = now;
  note_failure(event.local_rank, /*in_question=*/false, now);
}

// A template that dies, or cannot fork just now, is no worker that fails: it costs no attempt.
void GroupMachine::on(const RankNotForked& event, TimePoint) {
  WorkerRecord& missing = worker(event.local_rank);
  if (missing.state != State::kStarting) return;
  if (stopping()) {
    missing.state = State::kWaiting;
  } else {
    effects_.emplace_back(StartRank{event.local_rank, /*afresh=*/true});
  }
}

void GroupMachine::on(const RankEnded& event, TimePoint now) {
  WorkerRecord& ended = worker(event.local_rank);
  if (ended.state != State::kRunning) return;
  ended.state = State::kEnded;
  ended.status = event.status;
  ended.ended_at = now;
  // Whoever ends while asking is held back was asked by somebody else.
  if (ask_at_ && hold_ == Hold::kForOrder) ended.sent_signals.push_back(stop_signal_);
  if (!event.status.success()) note_failure(event.local_rank, event.in_question, now);
}

// From the first failure on: those that follow do not prolong the time of those that run.
void GroupMachine::on(const FailureJudged& event, TimePoint now) {
  if (!waits_for_words()) return;
  if (event.explained) return ask_after(Duration::zero(), Hold::kForOrder, now);
  ask_after(within_grace(kLastWords) - (now - stop_began_), Hold::kForWords, now);
}

// Told before the end was noticed or after: the record is right in the end.
void GroupMachine::on(const SignalMissed& event, TimePoint) {
  std::erase(worker(event.local_rank).sent_signals, event.signal);
}

void GroupMachine::on(const StopGroup& event, TimePoint now) {
  if (ended() || phase_ == Phase::kKilling) return;
  stop_asked_ = true;
  effects_.emplace_back(TellUser{event.reason});
  const Duration grace = event.grace.value_or(grace_);
  const Hold why = event.for_last_words ? Hold::kForWords : Hold::kForOrder;
  if (phase_ != Phase::kStopping) {
    begin_stop(event.signal == 0 ? SIGTERM : event.signal, grace, now);
    return ask_after(event.for_last_words ? within_grace(kLastWords) : event.hold, why, now);
  }
  if (!event.for_last_words && (event.signal != 0 || waits_for_words())) {
    if (event.signal != 0) stop_signal_ = event.signal;
    ask_after(event.hold, why, now);
  }
  if (now + grace >= *deadline_) return;  // the grace that was begun goes on
  deadline_ = now + grace;
  stop_grace_ = grace;
}

// Whoever runs has the signal, or gets it later after all: its end is no failure either way.
void GroupMachine::on(const AskedAlready& event, TimePoint now) {
  if (phase_ != Phase::kStopping || !ask_at_) return;
  ask_at_.reset();
  if (event.again) ask_after(*event.again, Hold::kForOrder, now);
  for (WorkerRecord& record : workers_) {
    if (record.state == State::kRunning) record.sent_signals.push_back(stop_signal_);
  }
}

// A worker that such a signal kills has failed: nobody wanted it to end.
void GroupMachine::on(const PassSignal& event, TimePoint) {
  if (stopping()) return;
  for (const WorkerRecord& record : workers_) {
    if (record.state == State::kRunning) effects_.emplace_back(SignalRank{record.local_rank, record.pid, event.signal});
  }
}

void GroupMachine::on(const KillGroup& event, TimePoint) {
  if (ended()) return;
  stop_asked_ = true;
  effects_.emplace_back(TellUser{event.reason});
  begin_kill();
}

void GroupMachine::on(const GraceOver&, TimePoint now) {
  if (phase_ != Phase::kStopping) return;
  ask_if_due(now);
  if (now < *deadline_) return;
  std::string late;
  for (const WorkerRecord& record : workers_) {
    if (record.state == State::kRunning) late += (late.empty() ? "" : ", ") + rank_text(record.local_rank);
  }
  effects_.emplace_back(TellUser{late + " did not end within " + exact_text(stop_grace_) + ": sending SIGKILL"});
  begin_kill();
}

void GroupMachine::note_failure(int local_rank, bool in_question, TimePoint now) {
  if (stopping()) {  // a victim, or a failure that the report ranks behind the first
    if (waits_for_words() && !in_question) ask_after(Duration::zero(), Hold::kForOrder, now);
    return;
  }
  first_failure_ = local_rank;
  begin_stop(SIGTERM, grace_, now);
  ask_after(in_question ? within_grace(kJudgement) : Duration::zero(), in_question ? Hold::kForWords : Hold::kForOrder,
            now);
}

void GroupMachine::begin_stop(int signal, Duration grace, TimePoint now) {
  phase_ = Phase::kStopping;
  stop_signal_ = signal;
  stop_began_ = now;
  deadline_ = now + grace;
  stop_grace_ = grace;
}

void GroupMachine::ask_after(Duration hold, Hold why, TimePoint now) {
  ask_at_ = now + hold;
  hold_ = why;
  ask_if_due(now);
}

Duration GroupMachine::within_grace(Duration hold) const { return std::min(hold, stop_grace_ / 2); }

void GroupMachine::ask_if_due(TimePoint now) {
  if (!ask_at_ || now < *ask_at_) return;
  ask_at_.reset();
  signal_running(stop_signal_);
}

std::optional<TimePoint> GroupMachine::next_deadline() const {
  if (phase_ != Phase::kStopping) return std::nullopt;
  return ask_at_ && *ask_at_ < *deadline_ ? ask_at_ : deadline_;
}

void GroupMachine::begin_kill() {
  phase_ = Phase::kKilling;
  signal_running(SIGKILL);
}

void GroupMachine::signal_running(int signal) {
  for (WorkerRecord& record : workers_) {
    if (record.state == State::kRunning) send(record, signal);
  }
}

void GroupMachine::send(WorkerRecord& record, int signal) {
  record.sent_signals.push_back(signal);
  const bool first = record.sent_signals.size() == 1;
  effects_.emplace_back(SignalRank{record.local_rank, record.pid, signal, first});
  // A stopped process takes no notice of a signal until it continues; SIGKILL alone reaches it.
  if (signal != SIGKILL) effects_.emplace_back(SignalRank{record.local_rank, record.pid, SIGCONT});
}

void GroupMachine::ask_for_next_start() {
  const auto next = std::ranges::find(workers_, State::kWaiting, &WorkerRecord::state);
  if (next == workers_.end()) return;
  next->state = State::kStarting;
  effects_.emplace_back(StartRank{next->local_rank});
}

// Moves on when the last open question is answered.
void GroupMachine::settle() {
  const auto any = [this](State state) {
    return std::ranges::find(workers_, state, &WorkerRecord::state) != workers_.end();
  };
  if (any(State::kStarting)) return;
  if (phase_ == Phase::kStarting) phase_ = Phase::kRunning;
  if (!any(State::kRunning)) phase_ = Phase::kEnded;
}

}  // namespace ferrun
