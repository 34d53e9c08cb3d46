#include "launcher/node/agent_machine.h"

#include <csignal>
#include <utility>

#include "launcher/node/group_effects.h"
#include "launcher/report/failure_report.h"

namespace ferrun {

AgentMachine::AgentMachine(AgentConfig config) : config_(config), from_template_(config.with_template) { prepare(); }

void AgentMachine::step(const AgentEvent& event, TimePoint now) {
  if (phase_ == Phase::kFinished) return;
  std::visit(
      [this, now]<typename Event>(const Event& fact) {
        if constexpr (AttemptFact<Event>) {
          if (fact.attempt != attempt_) return;  // stale
        }
        on(fact, now);
      },
      event);
}

std::optional<TimePoint> AgentMachine::next_deadline() const {
  return phase_ == Phase::kRunning ? group_->next_deadline() : std::nullopt;
}

std::vector<AgentEffect> AgentMachine::take_effects() { return std::exchange(effects_, {}); }

void AgentMachine::prepare() {
  phase_ = Phase::kPreparing;
  effects_.emplace_back(PrepareAttempt{attempt_, from_template_});
}

void AgentMachine::on(const AttemptReady&, TimePoint) {
  if (phase_ != Phase::kPreparing) return;
  phase_ = Phase::kRunning;
  group_.emplace(config_.workers, config_.shutdown_timeout);
  say(LogLevel::kInfo, "starting " + std::to_string(config_.workers) + (config_.workers == 1 ? " worker" : " workers") +
                           ", attempt " + std::to_string(attempt_));
  append_group_effects(*group_, attempt_, from_template_, effects_);
}

void AgentMachine::on(const AttemptNotReady& event, TimePoint) {
  if (phase_ == Phase::kPreparing) finish(CannotRun{event.error});
}

void AgentMachine::on(const WorkerFact& event, TimePoint now) {
  if (phase_ == Phase::kRunning) {
    step_group(event.event, now);
  } else if (phase_ == Phase::kSweeping) {
    group_->step(event.event, now);  // what is learnt late about workers that have ended
  }
}

void AgentMachine::on(const DeadlineArrived&, TimePoint now) {
  if (phase_ == Phase::kRunning) step_group(GraceOver{}, now);
}

void AgentMachine::on(const TemplateUnusable& event, TimePoint) { give_up_template(event, from_template_, effects_); }

void AgentMachine::on(const SignalArrived& event, TimePoint now) {
  const bool first = !stop_signal_;
  if (first) stop_signal_ = event.signal;
  const std::string name = signal_name(event.signal);
  switch (phase_) {
    case Phase::kPreparing: finish(StoppedBy{*stop_signal_}); break;
    case Phase::kRunning:
      if (first) {
        step_group(StopGroup{event.signal, "got " + name + ": forwarding it to the workers"}, now);
      } else {
        step_group(KillGroup{"got " + name + " as a second signal: sending SIGKILL"}, now);
      }
      break;
    case Phase::kSweeping: break;  // the workers are gone; the end of the sweep looks at stop_signal_
    case Phase::kFinished: break;
  }
}

void AgentMachine::on(const SentinelDied&, TimePoint) {
  effects_.emplace_back(KillEverything{});
  finish(Abandoned{});
}

void AgentMachine::on(const AttemptSwept&, TimePoint) {
  if (phase_ != Phase::kSweeping) return;
  if (!may_restart()) {
    finish(ending_of_group());
    return;
  }
  const int left = config_.max_restarts - attempt_ - 1;
  say(LogLevel::kWarning, describe_worker(first_failure()) + "; starting all workers again (" + std::to_string(left) +
                              (left == 1 ? " restart" : " restarts") + " left)");
  ++attempt_;
  prepare();
}

void AgentMachine::step_group(const GroupEvent& event, TimePoint now) {
  group_->step(event, now);
  append_group_effects(*group_, attempt_, from_template_, effects_);
  if (!group_->ended()) return;
  phase_ = Phase::kSweeping;
  effects_.emplace_back(SweepAttempt{attempt_});
}

// A program that cannot be executed cannot be executed the next time either; a machine that had no process left may.
bool AgentMachine::may_restart() const {
  if (group_->succeeded() || stop_signal_ || attempt_ >= config_.max_restarts) return false;
  const std::optional<Error>& start_error = first_failure().start_error;
  return !start_error || start_error->kind != ErrorKind::kUser;
}

const WorkerRecord& AgentMachine::first_failure() const {
  return group_->workers()[static_cast<size_t>(*group_->first_failure())];
}

Ending AgentMachine::ending_of_group() const {
  if (group_->succeeded()) return Success{};
  if (stop_signal_) return StoppedBy{*stop_signal_};
  if (first_failure().start_error) return CannotRun{*first_failure().start_error};
  return GroupFailed{};
}

void AgentMachine::finish(Ending ending) {
  phase_ = Phase::kFinished;
  effects_.emplace_back(Finish{std::move(ending)});
}

}  // namespace ferrun
