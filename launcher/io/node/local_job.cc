#include "launcher/io/node/local_job.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <utility>

#include "common/io/clock.h"
#include "launcher/io/process/descendants.h"
#include "launcher/logs/log_layout.h"

namespace ferrun {

namespace asio = boost::asio;

namespace {

// How long the output of an attempt whose processes are all gone is waited for. Only a process outside the job that
// holds one of its pipes can make it that long.
constexpr Duration kDrainTime = std::chrono::seconds(2);
// How long a console or disk that stands still may keep ferrun from ending.
constexpr Duration kCloseTime = std::chrono::seconds(3);

LogRouter::Options router_options() { return {}; }

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
  explicit HeldStdio(WorkerStdio given) : stdio(given) {}
  HeldStdio(const HeldStdio&) = delete;
  HeldStdio& operator=(const HeldStdio&) = delete;
  ~HeldStdio() {
    for (const int fd : {stdio.out, stdio.err}) {
      if (fd >= 0) ::close(fd);
    }
  }
  const WorkerStdio stdio;
};

LocalJob::LocalJob(asio::io_context& io, JobConfig config, const SentinelLink& sentinel, std::function<void(Fact)> tell)
    : config_(std::move(config)),
      tell_(std::move(tell)),
      inbox_(io, sentinel, job_signals(config_.stop_signals), inbox_callbacks()),
      folders_(config_.output),
      router_(io, router_options()),
      log_(config_.log_level, [this](const std::string& line) { router_.announce(line); }),
      processes_(io, process_callbacks(), config_.open_files) {}

ProcessLauncher::Callbacks LocalJob::process_callbacks() {
  ProcessLauncher::Callbacks callbacks;
  callbacks.exited = [this](int attempt, int local_rank, pid_t, ExitStatus status) {
    tell_(WorkerFact{attempt, RankEnded{local_rank, status}});
  };
  callbacks.template_lost = [this](const std::string& reason) { tell_(TemplateUnusable{reason}); };
  callbacks.say = [this](const std::string& line) { log_.say(LogLevel::kWarning, line); };
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

void LocalJob::introduce() {
  if (config_.output.wants_files() && !config_.output.temporary) {
    router_.keep_announcements(job_folder(config_.output) / "ferrun.log");
  }
  for (const std::string& line : config_.warnings) log_.say(LogLevel::kWarning, line);
  for (const std::string& line : config_.notes) log_.say(LogLevel::kInfo, line);
  log_.say(LogLevel::kInfo, "job " + config_.run_id + ", launch " + config_.launch_id);
}

void LocalJob::prepare(const PrepareAttempt& prepare) {
  if (const Status made = make_folders(); !made) {
    tell_(AttemptNotReady{prepare.attempt, made.error()});
  } else if (prepare.with_template && !processes_.template_running()) {
    start_template(prepare.attempt);
  } else {
    tell_(AttemptReady{prepare.attempt});
  }
}

void LocalJob::start_template(int attempt) {
  processes_.start_template(config_.program.argv, config_.environment, [this, attempt](const Status& ready) {
    if (!ready) tell_(TemplateUnusable{ready.error().message});
    tell_(AttemptReady{attempt});
  });
}

void LocalJob::start(const StartWorker& start, WorkerPlace place) {
  const Result<std::shared_ptr<HeldStdio>> streams = streams_for(start, place.assignment.first_rank);
  if (!streams) return started(start, streams.error());
  place.error_file = worker_log_plan(config_, start.attempt, start.local_rank).error_file;
  const SpawnRequest request = spawn_request(config_, place);
  const std::shared_ptr<HeldStdio> held = *streams;
  if (!start.from_template) {
    return processes_.start(request, held->stdio, [this, start](const Result<pid_t>& pid) { started(start, pid); });
  }
  processes_.fork_from_template(request, held->stdio, [this, start, held](const Result<pid_t>& pid) {
    if (pid) return started(start, *pid);
    unforked_[{start.attempt, start.local_rank}] = held;
    tell_(WorkerFact{start.attempt, RankNotForked{start.local_rank}});
  });
}

void LocalJob::started(const StartWorker& start, const Result<pid_t>& pid) {
  if (pid) {
    tell_(WorkerFact{start.attempt, RankStarted{start.local_rank, *pid}});
  } else {
    tell_(WorkerFact{start.attempt, RankNotStarted{start.local_rank, pid.error()}});
  }
}

void LocalJob::signal(const SignalWorker& send) {
  if (processes_.signal_group(send.pid, send.signal)) return;
  tell_(WorkerFact{send.attempt, SignalMissed{send.local_rank, send.signal}});
}

void LocalJob::sweep(const SweepAttempt& sweep) {
  unforked_.clear();  // nobody starts these any more
  processes_.sweep(sweep.grace, [this, sweep](const std::vector<KilledProcess>& killed) {
    if (!killed.empty()) {
      log_.say(LogLevel::kWarning, "had to kill " + std::to_string(killed.size()) +
                                       (killed.size() == 1 ? " process" : " processes") +
                                       " that the workers left behind: " + process_list(killed));
    }
    router_.drain(sweep.attempt, monotonic_now() + kDrainTime, [this, sweep] { tell_(AttemptSwept{sweep.attempt}); });
  });
}

// With nothing to be written but error files, a job runs without them rather than not at all.
Status LocalJob::make_folders() {
  if (folders_made_ || !config_.output.wants_files()) return ok_status();
  Status made = folders_.make_job_folder();
  folders_made_ = made.ok();
  if (made || !config_.output.wants_only_error_files()) return made;
  log_.say(LogLevel::kWarning, made.error().message + "; workers have no error files");
  config_.output.base.clear();
  return ok_status();
}

Result<std::shared_ptr<LocalJob::HeldStdio>> LocalJob::streams_for(const StartWorker& start, int first_rank) {
  if (const auto kept = unforked_.extract({start.attempt, start.local_rank})) return kept.mapped();
  const Result<WorkerStdio> opened = open_streams(start.attempt, start.local_rank, first_rank);
  if (!opened) return opened.error();
  return std::make_shared<HeldStdio>(*opened);
}

Result<WorkerStdio> LocalJob::open_streams(int attempt, int local_rank, int first_rank) {
  if (config_.output.wants_files()) {
    if (Status made = folders_.make_worker_folder(attempt, local_rank); !made) return made.error();
  }
  const WorkerLogPlan plan = worker_log_plan(config_, attempt, local_rank, first_rank);
  const Result<int> out = router_.open(attempt, local_rank, Stream::kStdout, plan.out);
  if (!out) return out.error();
  const Result<int> err = router_.open(attempt, local_rank, Stream::kStderr, plan.err);
  if (err) return WorkerStdio{*out, *err};
  if (*out >= 0) ::close(*out);
  return err.error();
}

void LocalJob::close(const std::vector<std::string>& lines, int last_attempt) {
  for (const std::string& line : lines) router_.announce(line);
  if (folders_made_ && config_.output.temporary) folders_.remove_empty(last_attempt, config_.workers);
  router_.close(monotonic_now() + kCloseTime);
}

}  // namespace ferrun
