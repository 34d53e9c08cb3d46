#include "launcher/node/solo_rounds.h"

#include <algorithm>
#include <csignal>

#include "launcher/workers/worker_environment.h"
#include "rendezvous/job/job_status.h"
#include "rendezvous/job/wording.h"

namespace ferrun {
namespace {

constexpr int kSignalBase = 128;  // as a shell counts

std::string restarts_text(int left) { return std::to_string(left) + (left == 1 ? " restart left" : " restarts left"); }

}  // namespace

SoloRounds::SoloRounds(SoloConfig config, TimePoint now)
    : config_(std::move(config)), now_(now), began_(now), delays_(config_.restart), changed_at_(now) {
  open("");
}

void SoloRounds::step(const MemberEvent& event, TimePoint now) {
  if (done()) return;
  now_ = now;
  std::visit([this](const auto& fact) { on(fact); }, event);
}

void SoloRounds::open(const std::string& reason) {
  phase_ = Phase::kOpening;
  round_ = next_round();
  reason_ = reason;
  changed_at_ = began_ = now_;
  failures_.clear();
  start_error_.clear();
  held_until_.reset();
  effects_.emplace_back(OpenStore{round_, {}});
}

void SoloRounds::on(const StoreOpened& event) {
  if (!is_current(event.round) || phase_ != Phase::kOpening) return;
  phase_ = Phase::kRunning;
  Assignment whole = whole_job(config_.workers, restarts_);
  whole.round = round_;
  const StoreAddress store{event.addresses.empty() ? "" : event.addresses.front(), event.port};
  effects_.emplace_back(StartWorkers{whole, store, config_.launch_id, reason_});
}

void SoloRounds::on(const StoreNotOpened& event) {
  if (!is_current(event.round) || phase_ != Phase::kOpening) return;
  finish({JobEnd::Kind::kRefused, event.exit_status, {event.reason}});
}

void SoloRounds::on(const AllWorkersSucceeded& event) {
  if (is_current(event.round)) finish({});
}

void SoloRounds::on(const WorkersFailed& event) {
  if (!is_current(event.round) || event.failures.empty()) return;
  phase_ = Phase::kStopping;
  changed_at_ = now_;
  if (start_error_.empty()) start_error_ = event.start_error;
  for (const LocalFailure& failure : event.failures) {
    failures_.push_back(sight("", 0, failure, now_, Duration::zero(), began_));
  }
}

void SoloRounds::on(const WorkersGone& event) {
  if (!is_current(event.round)) return;
  if (stop_signal_ != 0) return finish(stopped());
  if (failures_.empty()) {
    LocalFailure unknown;
    unknown.report = {"a worker ended before its time, and it is not known why"};
    failures_.push_back(sight("", 0, unknown, now_, Duration::zero(), began_));
  }
  const FailureSighting& cause = failures_[find_root_cause(failures_).cause];
  switch (config_.restart.after(cause.failure)) {
    case OnExit::kStop: return finish(failed());
    case OnExit::kRestart: return restart(cause);
    case OnExit::kSpend:
      if (is_final(cause.failure) || restarts_left() <= 0) return finish(failed());
      ++restarts_;
      restart(cause);
  }
}

void SoloRounds::restart(const FailureSighting& cause) {
  const ExitRule* const rule = config_.restart.rule_for(cause.failure);
  const bool is_free = rule != nullptr && rule->then == OnExit::kRestart;
  const Duration delay = delays_.next(cause.latest - began_ >= config_.min_uptime, is_free);
  const std::string what = headline(cause);
  effects_.emplace_back(RendezvousSay{
      RendezvousLevel::kWarning, what + "; starting all workers again" +
                                     (delay > Duration::zero() ? " in " + in_words(delay) : "") + " (" +
                                     (is_free ? "--on-exit=" + rule->text : restarts_text(restarts_left())) + ")"});
  if (delay == Duration::zero()) return open(what);
  phase_ = Phase::kHeldBack;
  reason_ = what;
  changed_at_ = now_;
  held_until_ = now_ + delay;
}

void SoloRounds::on(const MemberDeadline&) {
  if (held_until_ && now_ >= *held_until_) open(reason_);
}

JobEnd SoloRounds::failed() const {
  const JobRootCause root = find_root_cause(failures_);
  const FailureSighting& cause = failures_[root.cause];
  const int status = cause.failure.status.shell_code();
  if (cause.failure.kind == FailureKind::kNotStarted && !start_error_.empty()) {
    return {JobEnd::Kind::kRefused, status, {start_error_}};
  }
  JobEnd end{JobEnd::Kind::kFailed, status, describe(failures_, root)};
  const ExitRule* const rule = config_.restart.rule_for(cause.failure);
  if (rule != nullptr && rule->then == OnExit::kStop) end.report.push_back(no_restart_line(*rule));
  return end;
}

// What had failed before is told as well.
JobEnd SoloRounds::stopped() const {
  std::vector<std::string> report;
  if (!failures_.empty()) report = describe(failures_, find_root_cause(failures_));
  report.push_back("stopped by " + signal_name(stop_signal_));
  return {JobEnd::Kind::kStopped, kSignalBase + stop_signal_, std::move(report)};
}

void SoloRounds::on(const LeaveAsked& event) {
  const std::string name = signal_name(event.signal);
  const bool nothing_runs = phase_ == Phase::kOpening || phase_ == Phase::kHeldBack;
  if (event.now) {
    if (nothing_runs) return finish(stopped());
    effects_.emplace_back(KillWorkers{round_, "got " + name + " again"});
    return;
  }
  if (stop_signal_ != 0) return;
  stop_signal_ = event.signal;
  changed_at_ = now_;
  if (nothing_runs) return finish(stopped());
  phase_ = Phase::kStopping;
  effects_.emplace_back(StopWorkers{round_, StopKind::kEnd, event.signal, "got " + name});
}

void SoloRounds::on(const CannotTakePart& event) { finish(event.end); }

void SoloRounds::on(const StatusAsked& event) {
  constexpr const char* kPhases[] = {"preparing", "running", "stopping", "gathering", "done"};
  constexpr NodeState kStates[] = {NodeState::kPreparing, NodeState::kRunning, NodeState::kStopping,
                                   NodeState::kWaiting, NodeState::kFinished};
  JobStatus status;
  status.told_by = "the agent on " + config_.host;
  status.launch_id = config_.launch_id;
  status.round = round_;
  status.phase = kPhases[static_cast<int>(phase_)];
  status.reason = what_happens();
  status.world = config_.workers;
  status.restarts = restarts_;
  status.max_restarts = config_.max_restarts;
  status.last_change = reason_;
  status.last_change_age = now_ - changed_at_;
  NodeStatus node;
  node.agent = config_.agent;
  node.host = config_.host;
  node.role = config_.role;
  node.workers = config_.workers;
  node.node_rank = 0;
  node.state = kStates[static_cast<int>(phase_)];
  status.nodes.push_back(std::move(node));
  effects_.emplace_back(ShowStatus{event.id, to_json(status)});
}

std::string SoloRounds::what_happens() const {
  if (phase_ == Phase::kOpening) return "the workers' store is being opened";
  if (held_until_) return "the next attempt begins in " + in_words(*held_until_ - now_) + " (--restart-delay)";
  if (phase_ != Phase::kStopping) return "all workers of round " + to_string(round_) + " run";
  return stop_signal_ != 0 ? "it got " + signal_name(stop_signal_) : "a worker failed";
}

void SoloRounds::finish(JobEnd end) {
  phase_ = Phase::kDone;
  held_until_.reset();
  effects_.emplace_back(CloseStore{});
  effects_.emplace_back(MemberDone{std::move(end)});
}

}  // namespace ferrun
