// The part of a job that lives on this machine: its workers, their folders and streams, the fork template, ferrun's own
// log, and the news of signals and of the sentinel. What the node driver carries out with, and is told by. It decides
// nothing.
//
// Ownership: owned by a driver. Thread rule: all calls and callbacks on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "launcher/config/job_config.h"
#include "launcher/io/logs/agent_log.h"
#include "launcher/io/logs/job_folders.h"
#include "launcher/io/logs/log_router.h"
#include "launcher/io/node/file_worker.h"
#include "launcher/io/node/timer_pipe.h"
#include "launcher/io/process/process_launcher.h"
#include "launcher/io/process/sentinel.h"
#include "launcher/io/process/signal_inbox.h"
#include "launcher/node/node_events.h"
#include "launcher/report/error_file.h"
#include "launcher/workers/worker_environment.h"

namespace ferrun {

// How much of what has happened a driver takes in one turn: simultaneous failures are seen together, a flood of output
// does not keep the machine waiting.
inline constexpr int kHandlersPerTurn = 256;

class LocalJob {
 public:
  using Fact = std::variant<AttemptReady, AttemptNotReady, AttemptSwept, WorkerFact, TemplateUnusable, SignalArrived,
                            SentinelDied>;

  // `tell` may be called from within any of the calls below.
  LocalJob(boost::asio::io_context& io, JobConfig config, const SentinelLink& sentinel, std::function<void(Fact)> tell);
  LocalJob(const LocalJob&) = delete;
  LocalJob& operator=(const LocalJob&) = delete;

  const JobConfig& config() const { return config_; }
  const LogRouter& router() const { return router_; }

  // Says what the configuration has to say.
  void introduce();
  void say(LogLevel level, const std::string& line) { log_.say(level, line); }
  // Opens EventConfig::file and JobConfig::timer_pipe, where they are wanted; kUser names the one that cannot be.
  Status open_files();
  // A line for that file, and one of torchrun's events.
  void record(const std::string& line) { router_.record(line); }
  void show_event(const std::string& line) { router_.announce(line); }

  // Begins with the folders and log files of an attempt that probably comes.
  void foresee(const ForeseeAttempt& foresee);
  // Folders, log files and, when asked for, the template: AttemptReady or AttemptNotReady.
  void prepare(const PrepareAttempt& prepare);
  // `place` without its error file, which is found here: RankStarted, RankNotStarted or RankNotForked, and RankEnded.
  void start(const StartWorker& start, WorkerPlace place);
  // SignalMissed when the worker had ended.
  void signal(const SignalWorker& send);
  // AttemptSwept when nothing of the attempt is left and its output is drained.
  void sweep(const SweepAttempt& sweep);
  void kill_everything() { processes_.kill_descendants(); }

  // The workers of the newest attempt that was prepared, and what of theirs had to be killed.
  const std::vector<pid_t>& processes_of_attempt() const { return of_attempt_; }

  // The error files of these workers, in their order; `done` is called in a later turn, without waiting for a disk that
  // hangs.
  using ErrorFilesRead = std::function<void(const std::vector<ErrorFile>&)>;
  void read_error_files(int attempt, const std::vector<int>& local_ranks, ErrorFilesRead done);

  // Which timer of its own the worker overran, in words; empty: none.
  std::string overrun_timer(int attempt, int local_rank) const;

  // Hands the root cause on to ferrun's own parent, if that asked for it.
  void tell_parent(int attempt, int local_rank, const std::string& description, int status);
  // Leaves them for the container's runtime, if it asked for that.
  void leave_message(const std::vector<std::string>& lines);
  // Puts it beside the logs of a job that was given a folder for them.
  void keep_report(const std::string& json);
  // The last call: shows `lines`, flushes, removes empty folders. A signal cuts it short.
  void close(const std::vector<std::string>& lines);

 private:
  Status open_event_log();
  Status open_timer_pipe();
  void end_overrun(const WorkerTimers::Overrun& overrun);
  void look_again(const WorkerTimers::Overrun& overrun);
  ProcessLauncher::Callbacks process_callbacks();
  SignalInbox::Callbacks inbox_callbacks();
  std::vector<WorkerLogPlan> plans_of(int attempt) const;
  void mention_a_slow_disk(int attempt);
  bool writes_files(const std::vector<WorkerLogPlan>& plans) const;
  void make_files(int attempt);
  void take_files(JobFolders::Attempt made);
  void filter_lines(int attempt);
  void files_ready();
  void note_stop(const Fact& fact);
  bool close_at_once();
  struct HeldStdio;
  Result<std::shared_ptr<HeldStdio>> streams_for(const StartWorker& start, int first_rank);
  UniqueFd return_gate_for(int local_rank);
  void started(const StartWorker& start, const Result<pid_t>& pid);
  void start_template(int attempt);

  boost::asio::io_context& io_;
  const JobConfig config_;
  std::function<void(Fact)> tell_;
  SignalInbox inbox_;  // before what has threads of its own
  bool told_to_stop_ = false;
  std::shared_ptr<JobFolders> folders_;  // used by `files_` alone
  FileWorker files_;
  boost::asio::steady_timer slow_disk_;
  PrepareAttempt prepared_{.attempt = -1};       // the newest
  JobFolders::Attempt streams_;                  // of that attempt, until its workers are started
  int making_for_ = -1;                          // the attempt whose files were asked for last
  std::optional<JobFolders::Attempt> foreseen_;  // of that attempt, made before it was prepared
  bool making_ = false;                          // has not come back
  int begun_ = -1;                               // the newest that had a worker
  bool without_error_files_ = false;
  UniqueFd return_gate_;  // of an attempt that is being started
  LogRouter router_;
  AgentLog log_;
  ProcessLauncher processes_;
  // Of the workers that run: who a timer is.
  struct RunningWorker {
    int attempt = 0;
    int local_rank = 0;
  };
  std::map<pid_t, RunningWorker> running_;
  std::vector<pid_t> of_attempt_;
  std::map<std::pair<int, int>, std::string> overrun_;  // by attempt and local rank
  std::unique_ptr<TimerPipe> timer_pipe_;
  int starting_ = 0;    // workers whose start has not been told
  int first_rank_ = 0;  // of the newest attempt
  // Of ranks that were not forked: each is about to be started afresh, by its attempt and local rank.
  std::map<std::pair<int, int>, std::shared_ptr<HeldStdio>> unforked_;
};

}  // namespace ferrun
