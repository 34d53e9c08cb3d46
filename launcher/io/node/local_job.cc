#include "launcher/io/node/local_job.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <memory>
#include <system_error>
#include <utility>

#include "common/exit_status.h"
#include "common/io/clock.h"
#include "common/printable_text.h"
#include "launcher/io/node/evidence.h"
#include "launcher/io/process/descendants.h"
#include "launcher/logs/log_layout.h"
#include "launcher/report/job_report.h"

namespace ferrun {

namespace asio = boost::asio;

namespace {

// How long the output of an attempt whose processes are all gone is waited for. Only a process outside the job that
// holds one of its pipes can make it that long.
constexpr Duration kDrainTime = std::chrono::seconds(2);
// How long a terminal or disk that stands still may keep ferrun from ending.
constexpr Duration kCloseTime = std::chrono::seconds(3);
// After what time a disk that does not answer is mentioned, and after what time an error file is done without.
constexpr Duration kSlowDisk = std::chrono::seconds(10);
constexpr Duration kErrorFileTime = std::chrono::seconds(5);
// Between two looks for a worker that is being started.
constexpr Duration kNewsOfStart = std::chrono::milliseconds(10);

LogRouter::Options router_options(const OutputConfig& output) {
  LogRouter::Options options;
  options.rotation = output.rotation;
  return options;
}

// Those that programs use among themselves are the job's too: by default they would end the agent without a word.
std::vector<int> job_signals(std::vector<int> signals) {
  for (const int signal : {SIGUSR1, SIGUSR2}) {
    if (std::ranges::find(signals, signal) == signals.end()) signals.push_back(signal);
  }
  return signals;
}

}  // namespace

// A worker's descriptors, closed when nobody needs them any more.
struct LocalJob::HeldStdio {
  HeldStdio(UniqueFd out_end, UniqueFd err_end, UniqueFd gate_end)
      : out(std::move(out_end)),
        err(std::move(err_end)),
        gate(std::move(gate_end)),
        stdio{out.get(), err.get(), gate.get()} {}
  const UniqueFd out;
  const UniqueFd err;
  const UniqueFd gate;
  const WorkerStdio stdio;
};

LocalJob::LocalJob(asio::io_context& io, JobConfig config, const SentinelLink& sentinel, std::function<void(Fact)> tell)
    : io_(io),
      config_(std::move(config)),
      tell_([this, tell = std::move(tell)](Fact fact) {
        note_stop(fact);
        tell(std::move(fact));
      }),
      inbox_(io, sentinel, job_signals(config_.stop.signals), inbox_callbacks()),
      folders_(std::make_shared<JobFolders>(config_.output)),
      files_(io),
      slow_disk_(io),
      router_(io, router_options(config_.output)),
      log_(config_.log_level, [this](const std::string& line) { router_.announce(line); }),
      processes_(io, process_callbacks(), config_.open_files) {}

ProcessLauncher::Callbacks LocalJob::process_callbacks() {
  ProcessLauncher::Callbacks callbacks;
  callbacks.exited = [this](int attempt, int local_rank, pid_t pid, ExitStatus status) {
    running_.erase(pid);
    if (timer_pipe_) timer_pipe_->forget(pid);
    tell_(WorkerFact{attempt, RankEnded{local_rank, status}});
  };
  callbacks.template_lost = [this](const std::string& reason) { tell_(TemplateUnusable{reason}); };
  callbacks.say = [this](const std::string& line) { log_.say(LogLevel::kWarning, line); };
  callbacks.note = [this](const std::string& line) { log_.say(LogLevel::kInfo, line); };
  return callbacks;
}

SignalInbox::Callbacks LocalJob::inbox_callbacks() {
  SignalInbox::Callbacks callbacks;
  callbacks.arrived = [this](const JobSignal& signal) {
    const bool from_outside = signal.sender == 0 && !signal.from_terminal;
    tell_(
        SignalArrived{signal.signal, signal.direct, signal.from_terminal, from_outside || is_ancestor(signal.sender)});
  };
  callbacks.sentinel_died = [this] { tell_(SentinelDied{}); };
  return callbacks;
}

Status LocalJob::open_files() {
  if (Status opened = open_event_log(); !opened) return opened;
  return open_timer_pipe();
}

Status LocalJob::open_timer_pipe() {
  if (config_.timer_pipe.empty()) return ok_status();
  TimerPipe::Callbacks callbacks;
  callbacks.overrun = [this](const WorkerTimers::Overrun& overrun) { end_overrun(overrun); };
  callbacks.warn = [this](const std::string& line) { log_.say(LogLevel::kWarning, line); };
  Result<std::unique_ptr<TimerPipe>> made = TimerPipe::make(io_, config_.timer_pipe, std::move(callbacks));
  if (!made) return made.error();
  timer_pipe_ = std::move(*made);
  return ok_status();
}

void LocalJob::end_overrun(const WorkerTimers::Overrun& overrun) {
  const auto found = running_.find(::getsid(overrun.pid));
  const bool known = found != running_.end();
  const auto owner =
      known ? std::optional(TimedWorker{found->first, first_rank_ + found->second.local_rank}) : std::nullopt;
  const OverrunVerdict verdict = judge_overrun(overrun, owner, starting_ > 0);
  if (!verdict.line.empty()) log_.say(LogLevel::kWarning, verdict.line);
  if (!verdict.evidence.empty()) overrun_[{found->second.attempt, found->second.local_rank}] = verdict.evidence;
  switch (verdict.action) {
    case OverrunVerdict::Action::kNone: return;
    case OverrunVerdict::Action::kLookAgain: return look_again(overrun);
    case OverrunVerdict::Action::kSignalGroup: processes_.signal_group(overrun.pid, overrun.signal); return;
    case OverrunVerdict::Action::kSignalProcess: ::kill(overrun.pid, overrun.signal); return;
  }
}

void LocalJob::look_again(const WorkerTimers::Overrun& overrun) {
  const auto timer = std::make_shared<asio::steady_timer>(io_, kNewsOfStart);
  timer->async_wait([this, timer, overrun](const boost::system::error_code& error) {
    if (!error) end_overrun(overrun);
  });
}

std::string LocalJob::overrun_timer(int attempt, int local_rank) const {
  const auto found = overrun_.find({attempt, local_rank});
  return found == overrun_.end() ? "" : found->second;
}

Status LocalJob::open_event_log() {
  const std::filesystem::path& path = config_.events.file;
  if (path.empty()) return ok_status();
  // Never waits for the reader of a FIFO.
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  UniqueFd file(::open(path.c_str(), kFlags, 0666));
  if (!file) {
    const std::string reason = errno == ENXIO ? "nobody reads this FIFO" : std::generic_category().message(errno);
    return Error{ErrorKind::kUser, "cannot open the event log " + path.string() + ": " + reason +
                                       "; choose another file with --event-log"};
  }
  router_.keep_records(path.string(), std::move(file));
  return ok_status();
}

void LocalJob::introduce() {
  if (config_.output.wants_files() && !config_.output.temporary) {
    router_.keep_announcements(job_folder(config_.output) / "ferrun.log", /*make_folder=*/true);
  }
  for (const std::string& line : config_.warnings) log_.say(LogLevel::kWarning, line);
  for (const std::string& line : config_.notes) log_.say(LogLevel::kInfo, line);
  log_.say(LogLevel::kInfo, "job " + config_.run_id + ", launch " + config_.launch_id);
}

void LocalJob::foresee(const ForeseeAttempt& foresee) {
  if (writes_files(plans_of(foresee.attempt))) make_files(foresee.attempt);
}

void LocalJob::prepare(const PrepareAttempt& prepare) {
  prepared_ = prepare;
  streams_ = {};
  of_attempt_.clear();
  if (!writes_files(plans_of(prepare.attempt))) return files_ready();
  if (making_for_ == prepare.attempt && foreseen_) return take_files(*std::exchange(foreseen_, std::nullopt));
  mention_a_slow_disk(prepare.attempt);
  if (making_for_ != prepare.attempt || !making_) make_files(prepare.attempt);
}

bool LocalJob::writes_files(const std::vector<WorkerLogPlan>& plans) const {
  return config_.output.wants_files() ||
         std::ranges::any_of(plans, [](const auto& plan) { return plan.out.file || plan.err.file; });
}

void LocalJob::make_files(int attempt) {
  making_for_ = attempt;
  making_ = true;
  foreseen_.reset();
  files_.run([this, attempt, folders = folders_, plans = plans_of(attempt),
              filters = line_filter_plans(config_.output, attempt)] {
    auto made = std::make_shared<JobFolders::Attempt>(folders->prepare(attempt, plans, filters));
    return [this, attempt, made] {
      making_ = false;
      if (attempt == prepared_.attempt) return take_files(std::move(*made));
      foreseen_ = std::move(*made);
    };
  });
}

std::vector<WorkerLogPlan> LocalJob::plans_of(int attempt) const {
  std::vector<WorkerLogPlan> plans;
  for (int rank = 0; rank < config_.workers; ++rank) plans.push_back(worker_log_plan(config_, attempt, rank));
  return plans;
}

void LocalJob::mention_a_slow_disk(int attempt) {
  slow_disk_.expires_after(kSlowDisk);
  slow_disk_.async_wait([this, attempt](const boost::system::error_code& error) {
    if (error || attempt != prepared_.attempt) return;
    log_.say(LogLevel::kWarning, "still waiting for the log folder " + job_folder(config_.output).string() +
                                     ": its disk or file server does not answer; --log-dir names another one");
  });
}

// With nothing to be written but error files, a job runs without them rather than not at all.
void LocalJob::take_files(JobFolders::Attempt made) {
  slow_disk_.cancel();
  without_error_files_ = !made.folder;
  if (!made.folder && !config_.output.wants_only_error_files()) {
    return tell_(AttemptNotReady{prepared_.attempt, made.folder.error()});
  }
  if (!made.folder) log_.say(LogLevel::kWarning, made.folder.error().message + "; workers have no error files");
  const std::filesystem::path folder = job_folder(config_.output);
  // A line must not make the folder that is missed here.
  const bool keeps_lines = made.folder && config_.output.wants_files() && !config_.output.temporary;
  if (keeps_lines) router_.keep_announcements(folder / "ferrun.log", /*make_folder=*/false);
  if (made.made_again) {
    log_.say(LogLevel::kWarning, "the log folder " + folder.string() + " was removed while the job ran: made again");
  }
  streams_ = std::move(made);
  filter_lines(prepared_.attempt);
  files_ready();
}

void LocalJob::filter_lines(int attempt) {
  const LineFilterPlans plans = line_filter_plans(config_.output, attempt);
  if (plans.out) router_.filter(attempt, Stream::kStdout, *plans.out, std::move(streams_.filtered.out));
  if (plans.err) router_.filter(attempt, Stream::kStderr, *plans.err, std::move(streams_.filtered.err));
}

void LocalJob::files_ready() {
  if (prepared_.with_template && !processes_.template_running()) {
    start_template(prepared_.attempt);
  } else {
    tell_(AttemptReady{prepared_.attempt});
  }
}

void LocalJob::start_template(int attempt) {
  processes_.start_template({config_.program.argv, config_.environment, config_.python_template},
                            [this, attempt](const Status& ready) {
                              if (!ready) tell_(TemplateUnusable{ready.error().message});
                              tell_(AttemptReady{attempt});
                            });
}

void LocalJob::start(const StartWorker& start, WorkerPlace place) {
  begun_ = start.attempt;
  ++starting_;
  const Result<std::shared_ptr<HeldStdio>> streams = streams_for(start, place.assignment.first_rank);
  if (!streams) return started(start, streams.error());
  if (!without_error_files_) {
    place.error_file = worker_log_plan(config_, start.attempt, start.local_rank).error_file;
  }
  first_rank_ = place.assignment.first_rank;
  const SpawnRequest request = spawn_request(config_, place);
  const std::shared_ptr<HeldStdio> held = *streams;
  if (!start.from_template) {
    return processes_.start(request, held->stdio, [this, start](const Result<pid_t>& pid) { started(start, pid); });
  }
  processes_.fork_from_template(request, held->stdio, [this, start, held](const Result<pid_t>& pid) {
    if (pid) return started(start, *pid);
    --starting_;
    unforked_[{start.attempt, start.local_rank}] = held;
    tell_(WorkerFact{start.attempt, RankNotForked{start.local_rank}});
  });
}

// Workers are started in the order of their ranks. The gate is open while ferrun holds it, so that nobody is let go
// before the last one is started. Without a pipe they end without waiting for each other.
UniqueFd LocalJob::return_gate_for(int local_rank) {
  if (!config_.program.returns_together) return {};
  if (local_rank == 0) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return {};
    ::close(ends[0]);  // the workers open one of their own
    return_gate_.reset(ends[1]);
  }
  if (local_rank == config_.workers - 1) return std::move(return_gate_);
  return UniqueFd(return_gate_ ? ::fcntl(return_gate_.get(), F_DUPFD_CLOEXEC, 3) : -1);
}

void LocalJob::started(const StartWorker& start, const Result<pid_t>& pid) {
  --starting_;
  if (pid) {
    running_[*pid] = {start.attempt, start.local_rank};
    of_attempt_.push_back(*pid);
    tell_(WorkerFact{start.attempt, RankStarted{start.local_rank, *pid}});
  } else {
    tell_(WorkerFact{start.attempt, RankNotStarted{start.local_rank, pid.error()}});
  }
}

void LocalJob::signal(const SignalWorker& send) {
  if (send.first) router_.mark_tail(send.attempt, send.local_rank, Stream::kStderr);
  if (processes_.signal_group(send.pid, send.signal)) return;
  tell_(WorkerFact{send.attempt, SignalMissed{send.local_rank, send.signal}});
}

void LocalJob::sweep(const SweepAttempt& sweep) {
  unforked_.clear();  // nobody starts these any more
  streams_ = {};
  return_gate_.reset();
  processes_.sweep(sweep.grace, [this, sweep](const std::vector<KilledProcess>& killed) {
    for (const KilledProcess& process : killed) of_attempt_.push_back(process.pid);
    if (!killed.empty()) {
      log_.say(LogLevel::kWarning, "had to kill " + std::to_string(killed.size()) +
                                       (killed.size() == 1 ? " process" : " processes") +
                                       " that the workers left behind: " + process_list(killed));
    }
    router_.drain(sweep.attempt, monotonic_now() + kDrainTime, [this, sweep] { tell_(AttemptSwept{sweep.attempt}); });
  });
}

Result<std::shared_ptr<LocalJob::HeldStdio>> LocalJob::streams_for(const StartWorker& start, int first_rank) {
  if (const auto kept = unforked_.extract({start.attempt, start.local_rank})) return kept.mapped();
  JobFolders::Streams files;
  const size_t rank = static_cast<size_t>(start.local_rank);
  if (start.attempt == prepared_.attempt && rank < streams_.workers.size()) {
    Result<JobFolders::Streams>& opened = streams_.workers[rank];
    if (!opened) return opened.error();
    files = std::move(*opened);
  }
  const WorkerLogPlan plan = worker_log_plan(config_, start.attempt, start.local_rank, first_rank);
  Result<UniqueFd> out = router_.open(start.attempt, start.local_rank, Stream::kStdout, plan.out, std::move(files.out));
  if (!out) return out.error();
  Result<UniqueFd> err = router_.open(start.attempt, start.local_rank, Stream::kStderr, plan.err, std::move(files.err));
  if (!err) return err.error();
  return std::make_shared<HeldStdio>(std::move(*out), std::move(*err), return_gate_for(start.local_rank));
}

void LocalJob::read_error_files(int attempt, const std::vector<int>& local_ranks, ErrorFilesRead done) {
  std::vector<std::filesystem::path> paths;
  for (const int rank : local_ranks) paths.push_back(worker_log_plan(config_, attempt, rank).error_file);
  const auto timer = std::make_shared<asio::steady_timer>(io_, kErrorFileTime);
  const auto answer = std::make_shared<ErrorFilesRead>(std::move(done));  // empty once it was called
  timer->async_wait([timer, answer, paths](const boost::system::error_code& error) {
    if (error || !*answer) return;
    std::vector<ErrorFile> files(paths.size());
    for (size_t i = 0; i < paths.size(); ++i) {
      files[i].state = ErrorFile::State::kUnreadable;
      files[i].problem = paths[i].string() + ": its disk or file server does not answer";
    }
    std::exchange(*answer, nullptr)(files);
  });
  files_.run([paths, weak_timer = std::weak_ptr(timer), answer] {
    std::vector<ErrorFile> files;
    for (const std::filesystem::path& path : paths) files.push_back(read_error_file(path));
    return [files = std::move(files), weak_timer, answer] {
      if (const auto waiting = weak_timer.lock()) waiting->cancel();
      if (*answer) std::exchange(*answer, nullptr)(files);
    };
  });
}

void LocalJob::tell_parent(int attempt, int local_rank, const std::string& description, int status) {
  if (config_.parent_error_file.empty()) return;
  const auto told = std::make_shared<Status>(ok_status());
  files_.run([told, parent = config_.parent_error_file, description, status,
              error_file = worker_log_plan(config_, attempt, local_rank).error_file] {
    *told = ferrun::tell_parent(parent, error_file, description, status);
    return FileWorker::Then();
  });
  if (!files_.wait(kCloseTime)) {
    log_.say(LogLevel::kWarning, "the disk of " + config_.parent_error_file +
                                     " does not answer: ferrun's own parent does not find the root cause there");
  } else if (!*told) {
    log_.say(LogLevel::kWarning, told->error().message);
  }
}

void LocalJob::leave_message(const std::vector<std::string>& lines) {
  if (config_.termination_log.empty() || lines.empty()) return;
  const auto left = std::make_shared<Status>(ok_status());
  files_.run([left, path = config_.termination_log, message = termination_message(lines)] {
    *left = ferrun::leave_message(path, message);
    return FileWorker::Then();
  });
  if (!files_.wait(kCloseTime)) {
    log_.say(LogLevel::kWarning,
             "the disk of " + config_.termination_log.string() + " does not answer: it holds no termination message");
  } else if (!*left) {
    log_.say(LogLevel::kWarning, left->error().message);
  }
}

void LocalJob::keep_report(const std::string& json) {
  if (json.empty() || !config_.output.wants_files() || config_.output.temporary) return;
  const auto kept = std::make_shared<Status>(ok_status());
  files_.run([kept, folders = folders_, json] {
    *kept = folders->write_report(json);
    return FileWorker::Then();
  });
  if (files_.wait(kCloseTime) && !*kept) log_.say(LogLevel::kWarning, kept->error().message);
}

void LocalJob::close(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) router_.announce(line);
  told_to_stop_ = false;
  timer_pipe_.reset();
  router_.close(kCloseTime, [this] { return close_at_once(); });
  if (!config_.output.wants_files()) return;
  files_.run([folders = folders_, unused = making_for_ > begun_] {
    if (unused) folders->forgo_newest();
    folders->remove_empty();
    return FileWorker::Then();
  });
  files_.wait(kCloseTime);
}

void LocalJob::note_stop(const Fact& fact) {
  const auto* signal = std::get_if<SignalArrived>(&fact);
  told_to_stop_ |= std::holds_alternative<SentinelDied>(fact);
  told_to_stop_ |=
      signal != nullptr && std::ranges::find(config_.stop.signals, signal->signal) != config_.stop.signals.end();
}

// While the output's last readers are waited for.
bool LocalJob::close_at_once() {
  if (io_.stopped()) io_.restart();
  io_.poll();
  return told_to_stop_;
}

}  // namespace ferrun
