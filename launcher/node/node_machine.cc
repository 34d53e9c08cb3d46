#include "launcher/node/node_machine.h"

#include <algorithm>
#include <csignal>
#include <iterator>

#include "common/printable_text.h"
#include "launcher/exit_statuses.h"
#include "launcher/report/failure_report.h"
#include "launcher/report/job_report.h"

namespace ferrun {
namespace {

constexpr int kTorchrunFailure = 1;

// For helpers that a worker leaves behind: Python's resource tracker unlinks what the dead worker shared.
constexpr Duration kLeftoverGrace = std::chrono::seconds(1);

// Facts that belong to an attempt have a member of that name.
template <typename Event>
concept AttemptFact = requires(const Event& event) {
  event.attempt;
};

// "2 workers, ranks 4-5 of 8".
std::string workers_text(const Assignment& assignment, int workers) {
  const std::string first = std::to_string(assignment.first_rank);
  const std::string last = std::to_string(assignment.first_rank + workers - 1);
  return std::to_string(workers) + (workers == 1 ? " worker, rank " + first : " workers, ranks " + first + "-" + last) +
         " of " + std::to_string(assignment.world);
}

}  // namespace

NodeMachine::NodeMachine(NodeConfig config, TimePoint now)
    : config_(std::move(config)),
      rounds_(rounds_of(config_, now)),
      order_to_stop_(config_.stop.signals),
      from_template_(config_.with_template) {
  prepare();
  take_rounds_effects(now);
}

NodeMachine::Rounds NodeMachine::rounds_of(const NodeConfig& config, TimePoint now) {
  if (!config.solo) return Rounds(std::in_place_type<MemberMachine>, config.member, now);
  const MemberConfig& node = config.member;
  return Rounds(std::in_place_type<SoloRounds>,
                SoloConfig{node.agent, node.host, node.workers, node.role, node.max_restarts, config.launch_id,
                           config.restart, config.min_uptime},
                now);
}

void NodeMachine::step(const NodeEvent& event, TimePoint now) {
  if (done_) return;
  deliver_deadlines(event, now);
  if (done_) return;
  std::visit(
      [this, now]<typename Event>(const Event& fact) {
        if constexpr (AttemptFact<Event>) {
          if (fact.attempt != attempt_) return;  // stale
        }
        on(fact, now);
      },
      event);
}

std::optional<TimePoint> NodeMachine::next_deadline() const {
  if (done_) return std::nullopt;
  std::optional<TimePoint> next = rounds_deadline();
  const auto add = [&next](std::optional<TimePoint> due) {
    if (due && (!next || *due < *next)) next = due;
  };
  add(order_to_stop_.next_deadline());
  if (state_ == Attempt::kRunning) add(group_->next_deadline());
  return next;
}

std::optional<TimePoint> NodeMachine::rounds_deadline() const {
  return std::visit([](const auto& rounds) { return rounds.next_deadline(); }, rounds_);
}

std::vector<NodeEffect> NodeMachine::take_effects() { return std::exchange(effects_, {}); }

// What is due comes before whatever else happened: an event that arrives late finds the lease ended, the grace over.
// What the coordinator has said is heard by the member machine before that judges it by its silence.
void NodeMachine::deliver_deadlines(const NodeEvent& event, TimePoint now) {
  const bool heard = std::holds_alternative<CoordinatorSaid>(event);
  const std::optional<TimePoint> due = rounds_deadline();
  if (!heard && due && *due <= now) step_rounds(MemberDeadline{}, now);
  if (done_) return;
  while (const int signal = order_to_stop_.take_due(now)) pass_on(signal, now);
  if (state_ != Attempt::kRunning) return;
  if (group_->next_deadline() && *group_->next_deadline() <= now) step_group(GraceOver{}, now);
}

// --- Rounds. ---

void NodeMachine::step_rounds(const MemberEvent& event, TimePoint now) {
  std::visit([&event, now](auto& rounds) { rounds.step(event, now); }, rounds_);
  take_rounds_effects(now);
}

// Carrying one out may bring the next, after all that was decided before: a round that is stopped before it began is
// gone at once.
void NodeMachine::take_rounds_effects(TimePoint now) {
  if (std::exchange(carrying_out_, true)) return;
  const auto fresh = [this] { return std::visit([](auto& rounds) { return rounds.take_effects(); }, rounds_); };
  for (std::vector<MemberEffect> effects = fresh(); !effects.empty(); effects = fresh()) {
    for (const MemberEffect& effect : effects) {
      std::visit([this, now](const auto& what) { carry_out(what, now); }, effect);
    }
  }
  carrying_out_ = false;
}

void NodeMachine::carry_out(const StartWorkers& start, TimePoint now) {
  order_ = start;
  if (state_ == Attempt::kReady) begin_attempt(now);
  if (state_ == Attempt::kUnusable) prepare();
}

void NodeMachine::carry_out(const StopWorkers& stop, TimePoint now) {
  if (drop_unbegun(now) || state_ != Attempt::kRunning) return;
  const Duration grace = has_failure_grace(stop.kind) ? config_.stop.failure_grace : config_.stop.shutdown_timeout;
  const bool asked = group_->phase() == GroupMachine::Phase::kStopping && stop.signal == asked_with_;
  asked_with_ = stop.signal;
  const bool ordered = stop.signal == order_to_stop_.signal();
  step_group(StopGroup{asked ? 0 : stop.signal,
                       "stopping the workers of round " + to_string(stop.round) + ": " + printable(stop.reason), grace,
                       ordered ? order_to_stop_.hold() : Duration::zero(), stop.kind == StopKind::kLostPeer},
             now);
  if (ordered && order_to_stop_.everybody_has_it()) step_group(AskedAlready{order_to_stop_.ask_again(grace)}, now);
}

void NodeMachine::carry_out(const KillWorkers& kill, TimePoint now) {
  if (drop_unbegun(now)) return;
  killed_ = true;
  if (state_ == Attempt::kSweeping) effects_.emplace_back(SweepAttempt{attempt_, Duration::zero()});
  if (state_ != Attempt::kRunning) return;
  step_group(KillGroup{"killing the workers of round " + to_string(kill.round) + ": " + printable(kill.reason)}, now);
}

void NodeMachine::carry_out(const RendezvousSay& told, TimePoint) {
  constexpr LogLevel kLevels[] = {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning};
  say(kLevels[static_cast<int>(told.level)], printable(told.line));
}

bool NodeMachine::drop_unbegun(TimePoint now) {
  if (!order_ || state_ == Attempt::kRunning || state_ == Attempt::kSweeping) return false;
  const RoundId gone = round();
  order_.reset();
  step_rounds(WorkersGone{gone}, now);
  return true;
}

// --- Attempts. ---

void NodeMachine::prepare() {
  state_ = Attempt::kPreparing;
  unusable_.reset();
  effects_.emplace_back(PrepareAttempt{attempt_, from_template_});
}

void NodeMachine::on(const AttemptReady&, TimePoint now) {
  if (state_ != Attempt::kPreparing) return;
  state_ = Attempt::kReady;
  if (order_) begin_attempt(now);
}

// A node that could never run anything leaves before it joins a round; later it is a failure of the round that needs
// it.
void NodeMachine::on(const AttemptNotReady& event, TimePoint now) {
  if (state_ != Attempt::kPreparing) return;
  state_ = Attempt::kUnusable;
  unusable_ = event.error;
  if (order_) return cannot_begin(now);
  if (attempt_ > 0) return say(LogLevel::kWarning, event.error.message);
  step_rounds(CannotTakePart{{JobEnd::Kind::kRefused, exit_status_of(event.error), {event.error.message}}}, now);
}

void NodeMachine::cannot_begin(TimePoint now) {
  const RoundId failed = round();
  const LocalFailure failure = start_failure(*unusable_, order_->assignment.first_rank);
  const std::string why = unusable_->message;
  order_.reset();
  group_.reset();
  failures_ = {failure};
  step_rounds(WorkersFailed{failed, failures_, why}, now);
  step_rounds(WorkersGone{failed}, now);
}

void NodeMachine::begin_attempt(TimePoint) {
  const Assignment& assignment = order_->assignment;
  state_ = Attempt::kRunning;
  first_rank_ = assignment.first_rank;
  nodes_ = assignment.node_count;
  world_ = assignment.world;
  store_ = order_->store;
  store_unvisited_ = false;
  asked_with_ = 0;
  success_told_ = swept_ = killed_ = false;
  looked_at_.clear();
  examined_.clear();
  awaited_.clear();
  failures_.clear();
  say(LogLevel::kInfo, "starting " + workers_text(assignment, config_.member.workers) + ", round " +
                           to_string(assignment.round) +
                           (order_->reason.empty() ? "" : " (" + printable(order_->reason) + ")"));
  effects_.emplace_back(BeginAttempt{attempt_, assignment, order_->store, order_->launch_id});
  group_.emplace(config_.member.workers, config_.stop.failure_grace, first_rank_);
  take_group_effects();
}

void NodeMachine::take_group_effects() {
  for (const GroupEffect& effect : group_->take_effects()) {
    if (const auto* start = std::get_if<StartRank>(&effect)) {
      effects_.emplace_back(StartWorker{attempt_, start->local_rank, from_template_ && !start->afresh});
    } else if (const auto* send = std::get_if<SignalRank>(&effect)) {
      effects_.emplace_back(SignalWorker{attempt_, send->local_rank, send->pid, send->signal, send->first});
    } else {
      say(LogLevel::kWarning, std::get<TellUser>(effect).line);
    }
  }
}

void NodeMachine::on(const WorkerFact& event, TimePoint now) {
  // At the end of the lease the sentinel kills too: whoever was killed before this machine's kill is its victim.
  const auto* missed = std::get_if<SignalMissed>(&event.event);
  if (killed_ && missed != nullptr && missed->signal == SIGKILL) return;
  if (state_ == Attempt::kRunning) {
    GroupEvent news = event.event;
    if (auto* end = std::get_if<RankEnded>(&news)) end->in_question = may_have_lost_its_peer(end->status);
    step_group(news, now);
  } else if (state_ == Attempt::kSweeping) {
    group_->step(event.event, now);  // what is learnt late about workers that have ended
    note_failures();
  }
}

void NodeMachine::step_group(const GroupEvent& event, TimePoint now) {
  group_->step(event, now);
  take_group_effects();
  note_failures();
  if (group_->ended()) {
    state_ = Attempt::kSweeping;
    if (may_start_again()) effects_.emplace_back(ForeseeAttempt{attempt_ + 1});
    effects_.emplace_back(SweepAttempt{attempt_, killed_ ? Duration::zero() : kLeftoverGrace});
  }
  note_success(now);
}

bool NodeMachine::may_start_again() const {
  if (group_->succeeded() || order_to_stop_.signal() != 0) return false;
  const auto* alone = std::get_if<SoloRounds>(&rounds_);
  return alone == nullptr || alone->restarts_left() > 0;
}

// The first worker that ended with 0, unless it did so because it was told to.
void NodeMachine::note_success(TimePoint now) {
  if (success_told_ || !order_) return;
  const bool stopped = group_->phase() == GroupMachine::Phase::kStopping ||
                       group_->phase() == GroupMachine::Phase::kKilling || (group_->ended() && !group_->succeeded());
  const auto succeeded = [](const WorkerRecord& worker) { return worker.status && worker.status->success(); };
  if (stopped || std::ranges::none_of(group_->workers(), succeeded)) return;
  success_told_ = true;
  step_rounds(OneWorkerSucceeded{round()}, now);
}

// The other nodes go on until they hear of a failure: what is known by then has to do. With nobody to tell, the
// evidence is gathered when all of it has arrived.
void NodeMachine::note_failures() {
  if (!config_.solo || swept_) return gather_evidence();
  if (group_->waits_for_words()) look_at_failures();
}

// On one node what a worker has left behind so far is asked for only where the others wait for it, and asked for again
// at the end.
void NodeMachine::look_at_failures() {
  std::vector<int> fresh;
  for (const WorkerRecord& worker : group_->workers()) {
    if (worker.failed() && looked_at_.insert(worker.local_rank).second) fresh.push_back(worker.local_rank);
  }
  if (!fresh.empty()) effects_.emplace_back(GatherEvidence{attempt_, std::move(fresh)});
}

void NodeMachine::judge(const FailedWorker& worker, TimePoint now) {
  if (state_ != Attempt::kRunning || !group_->waits_for_words()) return;
  const WorkerRecord& record = group_->workers()[static_cast<size_t>(worker.local_rank)];
  step_group(FailureJudged{explains_itself(failure_kind(record, worker.evidence))}, now);
}

// Asks what was left behind, also by workers that ferrun's signal ended: one that had failed by itself before has said
// so in its error file.
void NodeMachine::gather_evidence() {
  std::vector<int> fresh;
  for (const WorkerRecord& worker : group_->workers()) {
    if (!worker.failed() || examined_.contains(worker.local_rank)) continue;
    fresh.push_back(worker.local_rank);
  }
  if (fresh.empty()) return;
  examined_.insert(fresh.begin(), fresh.end());
  awaited_.insert(fresh.begin(), fresh.end());
  effects_.emplace_back(GatherEvidence{attempt_, std::move(fresh)});
}

void NodeMachine::on(const EvidenceGathered& event, TimePoint now) {
  store_unvisited_ = event.store_unvisited;
  for (const FailedWorker& worker : event.workers) judge(worker, now);
  std::vector<ExaminedWorker> failed;
  for (const FailedWorker& worker : event.workers) {
    if (awaited_.erase(worker.local_rank) == 0) continue;
    const WorkerRecord& record = group_->workers()[static_cast<size_t>(worker.local_rank)];
    if (is_victim(record, worker.evidence)) continue;
    failed.push_back({record, worker});
    // The kernel counts whom it has killed, and does not say whom. Another end is not of its making, but may follow
    // from what it did to one of the job's: a loader process, say.
    WorkerEvidence& evidence = failed.back().left_behind.evidence;
    const bool is_killed = record.status && record.status->signal() == SIGKILL;
    if (!is_killed && !evidence.memory_of_the_job) evidence.out_of_memory.clear();
  }
  order_by_error_files(failed);
  // The first in time, not by rank: ferrun's own parent gets its error file, as the report names it.
  std::ranges::stable_sort(failed, {}, [](const ExaminedWorker& worker) { return worker.record.ended_at; });
  std::vector<LocalFailure> own;
  std::string start_error;
  for (const ExaminedWorker& worker : failed) {
    const std::optional<Error>& not_started = worker.record.start_error;
    if (not_started && start_error.empty()) start_error = not_started->message;
    own.push_back(local_failure(worker.record, worker.left_behind, {first_rank_, attempt_}, now));
  }
  if (!own.empty()) {
    if (failures_.empty() && !config_.solo) say(LogLevel::kWarning, own.front().report.front());
    failures_.insert(failures_.end(), own.begin(), own.end());
    step_rounds(WorkersFailed{round(), std::move(own), start_error}, now);
  }
  conclude_attempt(now);
}

void NodeMachine::on(const AttemptSwept&, TimePoint now) {
  if (state_ != Attempt::kSweeping || swept_) return;
  swept_ = true;
  note_failures();
  conclude_attempt(now);
}

// The round's failures are told before its end is.
void NodeMachine::conclude_attempt(TimePoint now) {
  if (done_ || !swept_ || !awaited_.empty()) return;
  const RoundId ended = round();
  swept_ = false;
  order_.reset();
  ++attempt_;
  state_ = Attempt::kUnusable;
  std::vector<NodeEffect> others = take_effects();
  if (group_->succeeded()) {
    step_rounds(AllWorkersSucceeded{ended}, now);
  } else {
    step_rounds(WorkersGone{ended}, now);
  }
  std::swap(others, effects_);
  if (!done_ && state_ == Attempt::kUnusable) prepare();  // before what the rounds want: the disk works meanwhile
  effects_.insert(effects_.end(), std::make_move_iterator(others.begin()), std::make_move_iterator(others.end()));
}

// --- Whatever else happens. ---

void NodeMachine::on(const TemplateUnusable& event, TimePoint) {
  if (!std::exchange(from_template_, false)) return;
  say(LogLevel::kWarning, event.reason + "; workers are spawned from now on");
}

void NodeMachine::on(const SignalArrived& event, TimePoint now) {
  switch (order_to_stop_.hear(event, now)) {
    case StopOrder::Meaning::kStop:
      if (!config_.solo) effects_.emplace_back(LeaveJob{event.signal});
      return step_rounds(LeaveAsked{event.signal}, now);
    case StopOrder::Meaning::kNow: return step_rounds(LeaveAsked{event.signal, true}, now);
    case StopOrder::Meaning::kEverybodyHasIt:
      if (state_ != Attempt::kRunning) return;
      return step_group(AskedAlready{order_to_stop_.ask_again(config_.stop.shutdown_timeout)}, now);
    case StopOrder::Meaning::kNothing: return;
  }
}

void NodeMachine::pass_on(int signal, TimePoint now) {
  const bool running = state_ == Attempt::kRunning;
  say(LogLevel::kWarning, "got " + signal_name(signal) +
                              (running ? ": passing it on to the workers" : ", and no worker runs that it is for"));
  if (running) step_group(PassSignal{signal}, now);
}

void NodeMachine::on(const SentinelDied&, TimePoint) {
  effects_.emplace_back(KillEverything{});
  const std::string line = "the sentinel was killed; every process of the job on this node has been killed too";
  done_ = true;
  NodeDone done;
  done.end = {JobEnd::Kind::kFailed, kExitInternal, {line}};
  done.exit_status = kExitInternal;
  done.lines = {"ferrun: " + line};
  done.abandoned = true;
  effects_.emplace_back(std::move(done));
}

void NodeMachine::carry_out(const MemberDone& told, TimePoint) {
  done_ = true;
  NodeDone done;
  done.end = told.end;
  done.exit_status = told.end.exit_status != 0 && config_.torchrun_exit_code ? kTorchrunFailure : told.end.exit_status;
  NodeReport node{config_.title,
                  config_.run_id,
                  config_.member.host,
                  std::max(nodes_, config_.member.min_nodes),
                  config_.member.max_restarts,
                  {}};
  node.solo = config_.solo;
  node.stopped = stopped_workers();
  node.hints = hints();
  done.lines = job_report(told.end, node);
  if (told.end.kind != JobEnd::Kind::kSuccess) done.failures = failures_;
  if (told.end.kind == JobEnd::Kind::kFailed && !failures_.empty()) {
    const auto own = std::ranges::find_if(failures_, explains_itself, &LocalFailure::kind);
    const LocalFailure& first = own == failures_.end() ? failures_.front() : *own;
    done.failed_local_rank = first.local_rank;
    done.failure = first.report.front();
    done.failure_status = first.status.shell_code();
  }
  effects_.emplace_back(std::move(done));
}

// A script that had the time to look for its peers and was never at the store has looked elsewhere. One that is alone
// has nobody to meet.
std::vector<std::string> NodeMachine::hints() const {
  constexpr Duration kTimeToLook = std::chrono::seconds(1);
  if (!config_.python || world_ == 1 || !store_unvisited_ || !group_ || !group_->first_failure()) return {};
  const WorkerRecord& first = group_->workers()[static_cast<size_t>(*group_->first_failure())];
  if (first.ended_at - first.started_at < kTimeToLook) return {};
  return {
      "Hint: no worker ever reached ferrun's store at " + store_.host + ", port " + std::to_string(store_.port) +
      ", which they were given as MASTER_ADDR and MASTER_PORT; a script that sets these itself finds no store there "
      "(TORCHELASTIC_USE_AGENT_STORE=True tells its ranks to serve none)."};
}

std::vector<StoppedWorker> NodeMachine::stopped_workers() const {
  std::vector<StoppedWorker> stopped;
  if (!group_) return stopped;
  std::optional<TimePoint> first;
  if (const auto failed = group_->first_failure()) {
    first = group_->workers()[static_cast<size_t>(*failed)].ended_at;
  }
  for (const WorkerRecord& worker : group_->workers()) {
    const auto own = [&worker](const LocalFailure& failure) { return failure.local_rank == worker.local_rank; };
    if (!worker.failed() || std::ranges::any_of(failures_, own)) continue;
    stopped.push_back({first_rank_ + worker.local_rank, describe_worker(worker, first_rank_),
                       first ? worker.ended_at - *first : Duration::zero()});
  }
  return stopped;
}

}  // namespace ferrun
