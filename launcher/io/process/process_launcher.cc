#include "launcher/io/process/process_launcher.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <csignal>
#include <deque>
#include <map>
#include <thread>
#include <utility>

#include "common/io/clock.h"
#include "launcher/io/process/child.h"
#include "launcher/io/process/descendants.h"
#include "launcher/io/process/exec_wait.h"
#include "launcher/io/process/fork_template.h"
#include "launcher/io/process/spawn.h"

namespace ferrun {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::seconds kUnkillable{3};

}  // namespace

// Who reaps whom: a worker and the template by their Child; SIGCHLD says that there may be orphans, children that
// nobody started here. Nothing waits for "any child", so no status can be lost to another part.
struct ProcessLauncher::Impl : std::enable_shared_from_this<ProcessLauncher::Impl> {
  struct Identity {
    int attempt;
    int local_rank;
    std::string program;
  };
  struct Worker {
    int attempt;
    int local_rank;
    Child child;
  };

  Impl(asio::io_context& loop, Callbacks to, std::optional<uint64_t> limit)
      : io(loop), callbacks(std::move(to)), open_files(limit), child_ended(loop, SIGCHLD) {}

  void begin() {
    sweeping = std::make_shared<Sweep>(io, Sweep::Scene{.left = [this] { return reap_and_list(); },
                                                        .is_worker = [this](pid_t pid) { return is_rank(pid); },
                                                        .more_to_come = [this] { return forks_under_way(); },
                                                        .say = callbacks.say});
    watch_orphans();
  }

  void watch_orphans() {
    child_ended.async_wait([weak = weak_from_this()](const boost::system::error_code& error, int) {
      const auto self = weak.lock();
      if (!self || error) return;
      self->reap();
      self->sweeping->look();
      self->watch_orphans();
    });
  }

  // --- what is there ---

  bool is_template(pid_t pid) const { return fork_template && fork_template->is_process(pid); }
  bool forks_under_way() const { return fork_template && fork_template->busy(); }
  // Its exec is awaited: not a worker yet that anybody was told of.
  bool is_starting(pid_t pid) const {
    return std::ranges::any_of(starting, [pid](const auto& exec) { return exec->pid() == pid; });
  }
  bool is_rank(pid_t pid) const { return workers.contains(pid) || is_starting(pid); }

  // --- ends ---

  // Whatever has ended and can be reaped now, one after the other as the kernel names them.
  void reap() {
    for (;;) {
      siginfo_t ended = {};
      if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0) return;
      if (!reap_one(ended.si_pid)) return;
    }
  }

  // False when it has to stay for now, and with it what the kernel would name after it; the answer that it waits for
  // comes back here.
  bool reap_one(pid_t pid) {
    const auto worker = workers.find(pid);
    if (worker != workers.end()) return worker->second.child.reap();
    if (is_template(pid)) {
      fork_template->reap();
      return !is_template(pid);
    }
    if (is_starting(pid)) return false;
    // A rank is this process's child a moment before the template names it: its status must not be lost.
    if (forks_under_way()) return false;
    return waitpid(pid, nullptr, WNOHANG) == pid;
  }

  std::vector<pid_t> reap_and_list() {
    reap();
    std::vector<pid_t> children = own_children();
    std::erase_if(children, [this](pid_t child) { return is_template(child); });
    return children;
  }

  void watch_worker(int attempt, int local_rank, pid_t pid) {
    Child child(io, pid, [this, pid](int wait_status) { finish(pid, ExitStatus::from_wait_status(wait_status)); });
    workers.try_emplace(pid, Worker{attempt, local_rank, std::move(child)});
  }

  // Called by the worker's own Child, which goes with it; so Impl is there.
  void finish(pid_t pid, ExitStatus status) {
    const auto ended = workers.extract(pid);
    const int attempt = ended.mapped().attempt;
    const int local_rank = ended.mapped().local_rank;
    later([attempt, local_rank, pid, status](Impl& self) {
      self.callbacks.exited(attempt, local_rank, pid, status);
      self.sweeping->look();
    });
  }

  // --- starts ---

  void start(const SpawnRequest& request, WorkerStdio stdio, Started started) {
    SpawnPlan plan = {request.argv, request.environment, stdio.out, stdio.err, stdio.extra, request.cpus, open_files};
    plan.memory_node = request.memory_node;
    // The first worker of an attempt proves that the program can be executed; the others need not be waited for.
    const bool proven = proven_attempt == request.attempt && proven_program == request.argv[0];
    plan.mode = proven ? SpawnPlan::Mode::kQuick : SpawnPlan::Mode::kSure;
    const Result<SpawnedProcess> process = spawn_process(plan);
    if (!process) return started(process.error());
    if (proven) {
      watch_worker(request.attempt, request.local_rank, process->pid);
      return started(process->pid);
    }
    auto exec = std::make_shared<ExecWait>(io, request.argv[0], request.cpus, *process);
    starting.push_back(exec);
    const Identity who = {request.attempt, request.local_rank, request.argv[0]};
    exec->begin([this, wait = exec.get(), who, started = std::move(started)](const ExecWait::Outcome& outcome) {
      on_exec(*wait, outcome, who, started);
    });
  }

  // Called by the wait, which goes with Impl.
  void on_exec(const ExecWait& wait, const ExecWait::Outcome& outcome, const Identity& who, const Started& started) {
    const pid_t pid = wait.pid();
    if (outcome.over) std::erase_if(starting, [pid](const auto& exec) { return exec->pid() == pid; });
    if (outcome.running) {
      proven_attempt = who.attempt;
      proven_program = who.program;
      watch_worker(who.attempt, who.local_rank, pid);
    }
    later([](Impl& self) { self.look_again(); });
    if (outcome.running) return started(pid);
    if (outcome.error && !outcome.late) return started(*outcome.error);
    if (outcome.error) callbacks.say("local rank " + std::to_string(who.local_rank) + ": " + outcome.error->message);
  }

  void start_template(const TemplatePlan& plan, const std::function<void(Status)>& ready) {
    if (fork_template) fork_template->stop();
    fork_template.reset();
    ForkTemplate::Events events;
    events.ready = [this, ready](const Status& status) { later([ready, status](Impl&) { ready(status); }); };
    events.forked = [this](const SpawnRequest& request, const Result<pid_t>& rank) { on_forked(request, rank); };
    events.lost = [this](const std::string& reason) {
      later([reason](Impl& self) { self.callbacks.template_lost(reason); });
    };
    events.note = [this](const std::string& line) { callbacks.note(line); };
    auto made = ForkTemplate::start(io, plan, open_files, std::move(events));
    if (made) {
      fork_template = std::move(*made);
    } else {
      later([ready, error = made.error()](Impl&) { ready(error); });
    }
  }

  void fork_from_template(const SpawnRequest& request, WorkerStdio stdio, Started forked) {
    const Status asked = fork_template ? fork_template->fork(request, stdio.out < 0 ? STDOUT_FILENO : stdio.out,
                                                             stdio.err < 0 ? STDERR_FILENO : stdio.err, stdio.extra)
                                       : Status(Error{ErrorKind::kInternal, "no fork template was started"});
    if (asked) {
      forked_callbacks.push_back(std::move(forked));
    } else {
      later([forked = std::move(forked), error = asked.error()](Impl&) { forked(error); });
    }
  }

  // The template answers in the order of the requests. The rank is taken in at once and the caller told from the loop,
  // before the rank's end can be.
  void on_forked(const SpawnRequest& request, const Result<pid_t>& rank) {
    auto forked = std::move(forked_callbacks.front());
    forked_callbacks.pop_front();
    later([forked = std::move(forked), rank](Impl& self) {
      forked(rank);
      self.look_again();
    });
    if (rank) watch_worker(request.attempt, request.local_rank, *rank);
  }

  // What could not be reaped before may be now.
  void look_again() {
    reap();
    sweeping->look();
  }

  // Calls `action` from the loop, unless the launcher is gone by then.
  void later(std::function<void(Impl&)> action) {
    asio::post(io, [weak = weak_from_this(), action = std::move(action)] {
      if (const auto self = weak.lock()) action(*self);
    });
  }

  // --- the end of all ---

  void kill_descendants() {
    if (fork_template) fork_template->stop();
    const TimePoint deadline = monotonic_now() + kUnkillable;
    Duration pause = std::chrono::microseconds(50);
    starting.clear();
    for (;;) {
      // Orphans arrive before their dead parent can be reaped: an empty list means that the whole tree is gone.
      const std::vector<pid_t> children = reap_and_list();
      if (children.empty() || monotonic_now() >= deadline) return;
      for (const pid_t child : children) kill(child, SIGKILL);
      std::this_thread::sleep_for(pause);
      pause = std::min<Duration>(2 * pause, std::chrono::milliseconds(5));
    }
  }

  asio::io_context& io;
  Callbacks callbacks;
  const std::optional<uint64_t> open_files;
  asio::signal_set child_ended;
  std::shared_ptr<Sweep> sweeping;
  std::map<pid_t, Worker> workers;                  // started, not reaped yet
  std::vector<std::shared_ptr<ExecWait>> starting;  // no outcome yet, or a late one
  int proven_attempt = -1;
  std::string proven_program;
  std::shared_ptr<ForkTemplate> fork_template;
  std::deque<Started> forked_callbacks;
};

ProcessLauncher::ProcessLauncher(asio::io_context& io, Callbacks callbacks, std::optional<uint64_t> open_files)
    : impl_(std::make_shared<Impl>(io, std::move(callbacks), open_files)) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  impl_->begin();
}

ProcessLauncher::~ProcessLauncher() { impl_->kill_descendants(); }

void ProcessLauncher::start(const SpawnRequest& request, WorkerStdio stdio, Started started) {
  impl_->start(request, stdio, std::move(started));
}

void ProcessLauncher::start_template(const TemplatePlan& plan, const std::function<void(Status)>& ready) {
  impl_->start_template(plan, ready);
}

void ProcessLauncher::fork_from_template(const SpawnRequest& request, WorkerStdio stdio, Started forked) {
  impl_->fork_from_template(request, stdio, std::move(forked));
}

bool ProcessLauncher::template_running() const { return impl_->fork_template && impl_->fork_template->running(); }

bool ProcessLauncher::signal_group(pid_t pid, int signal) {
  if (!impl_->workers.contains(pid)) return false;  // reaped: the number may be anybody's
  siginfo_t ended = {};
  const bool zombie =
      waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == pid;
  // Just forked, it may not lead its group yet; the signal then waits, blocked, until it is about to exec.
  if (kill(-pid, signal) != 0 && errno == ESRCH) kill(pid, signal);
  return !zombie;
}

void ProcessLauncher::sweep(Duration grace, Sweep::Done done) { impl_->sweeping->begin(grace, std::move(done)); }

void ProcessLauncher::kill_descendants() { impl_->kill_descendants(); }

}  // namespace ferrun
