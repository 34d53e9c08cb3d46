#include "launcher/io/process/process_launcher.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/process/v2/error.hpp>  // the handle's header of 1.81 compiles only after it
#include <boost/process/v2/process_handle.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <map>
#include <utility>

#include "launcher/io/process/descendants.h"
#include "launcher/io/process/fork_template.h"
#include "launcher/io/process/spawn.h"

namespace ferrun {

namespace asio = boost::asio;

// Waits on a pidfd and reaps by pid. It gives the raw wait status: `exit 9` and SIGKILL differ there.
using ProcessHandle = boost::process::v2::basic_process_handle<asio::io_context::executor_type>;

// Who reaps whom: a worker by its handle, from the loop or, when it was killed, on the spot; SIGCHLD only says that
// there may be orphans, children that nobody started here. Nothing waits for "any child", so no status can be lost to
// another part.
struct ProcessLauncher::Impl : std::enable_shared_from_this<ProcessLauncher::Impl> {
  struct Worker {
    int attempt;
    int local_rank;
    ProcessHandle handle;
  };

  Impl(asio::io_context& loop, Callbacks to) : io(loop), callbacks(std::move(to)), child_ended(loop, SIGCHLD) {}

  void watch_orphans() {
    child_ended.async_wait([weak = weak_from_this()](const boost::system::error_code& error, int) {
      const auto self = weak.lock();
      if (!self || error) return;
      self->reap_orphans();
      self->watch_orphans();
    });
  }

  bool is_template(pid_t pid) const { return fork_template && fork_template->is_process(pid); }

  void reap_orphans() {
    // A rank is this process's child a moment before the template names it: its status must not be lost.
    if (fork_template && fork_template->busy()) return;
    for (const pid_t child : own_children()) {
      if (!workers.contains(child) && !is_template(child)) waitpid(child, nullptr, WNOHANG);
    }
  }

  void watch_worker(const SpawnRequest& request, SpawnedProcess process) {
    auto [at, inserted] = workers.try_emplace(
        process.pid, Worker{request.attempt, request.local_rank, {io.get_executor(), process.pid, process.pidfd}});
    at->second.handle.async_wait(
        [weak = weak_from_this(), pid = process.pid](const boost::system::error_code& error, int wait_status) {
          const auto self = weak.lock();
          // An error: it was reaped on the spot, and reported then.
          if (self && !error) self->finish(pid, ExitStatus::from_wait_status(wait_status));
        });
  }

  enum class Life { kRunning, kZombie, kReaped };

  // A handle whose worker has just ended reaps it before it calls back; the pid may be another process's by then.
  static Life life_of(pid_t pid) {
    siginfo_t ended = {};
    if (waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOHANG | WNOWAIT) != 0) return Life::kReaped;
    return ended.si_pid == pid ? Life::kZombie : Life::kRunning;
  }

  void finish(pid_t pid, ExitStatus status) {
    const auto at = workers.find(pid);
    if (at == workers.end()) return;
    const int attempt = at->second.attempt;
    const int local_rank = at->second.local_rank;
    workers.erase(at);
    later([attempt, local_rank, pid, status](Impl& self) { self.callbacks.exited(attempt, local_rank, pid, status); });
  }

  void start_template(const std::vector<std::string>& argv, const Environment& environment,
                      const std::function<void(Status)>& ready) {
    if (fork_template) fork_template->settle();
    fork_template.reset();
    ForkTemplate::Events events;
    events.ready = [this, ready](const Status& status) { later([ready, status](Impl&) { ready(status); }); };
    events.forked = [this](const SpawnRequest& request, const Result<pid_t>& rank) { on_forked(request, rank); };
    events.lost = [this](const std::string& reason) {
      later([reason](Impl& self) { self.callbacks.template_lost(reason); });
    };
    auto started = ForkTemplate::start(io, argv, environment, std::move(events));
    if (started) {
      fork_template = std::move(*started);
    } else {
      later([ready, error = started.error()](Impl&) { ready(error); });
    }
  }

  void fork_from_template(const SpawnRequest& request, WorkerStdio stdio, std::function<void(Result<pid_t>)> forked) {
    const Status asked = fork_template ? fork_template->fork(request, stdio.out < 0 ? STDOUT_FILENO : stdio.out,
                                                             stdio.err < 0 ? STDERR_FILENO : stdio.err)
                                       : Status(Error{ErrorKind::kInternal, "no fork template was started"});
    if (asked) {
      forked_callbacks.push_back(std::move(forked));
    } else {
      later([forked = std::move(forked), error = asked.error()](Impl&) { forked(error); });
    }
  }

  // The template answers in the order of the requests. Its answer may be read inside kill_descendants, so the rank is
  // taken in at once and the caller told from the loop, before the rank's end can be.
  void on_forked(const SpawnRequest& request, Result<pid_t> rank) {
    auto forked = std::move(forked_callbacks.front());
    forked_callbacks.pop_front();
    if (rank) rank = adopt(request, *rank);
    later([forked = std::move(forked), rank](Impl&) { forked(rank); });
    if (!fork_template->busy()) {
      later([](Impl& self) { self.reap_orphans(); });
    }
  }

  Result<pid_t> adopt(const SpawnRequest& request, pid_t rank) {
    const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, rank, 0));
    if (pidfd >= 0) {
      watch_worker(request, {rank, pidfd});
      return rank;
    }
    const Error error = {ErrorKind::kPlatform, std::string("cannot watch a worker: ") + std::strerror(errno)};
    kill(rank, SIGKILL);
    waitpid(rank, nullptr, 0);
    return error;
  }

  // Calls `action` from the loop, unless the launcher is gone by then.
  void later(std::function<void(Impl&)> action) {
    asio::post(io, [weak = weak_from_this(), action = std::move(action)] {
      if (const auto self = weak.lock()) action(*self);
    });
  }

  void kill_descendants() {
    if (fork_template) fork_template->settle();
    for (;;) {
      std::vector<pid_t> children = own_children();
      std::erase_if(children, [this](pid_t child) { return is_template(child); });
      for (const pid_t child : children) kill(child, SIGKILL);
      for (const pid_t child : children) reap_killed(child);
      // Orphans arrive before their dead parent can be reaped: an empty list means that the whole tree is gone.
      if (children.empty()) return;
    }
  }

  void reap_killed(pid_t pid) {
    const auto worker = workers.find(pid);
    if (worker == workers.end()) {
      while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
      }
      return;
    }
    int status = 0;
    boost::system::error_code error;
    worker->second.handle.wait(status, error);
    // With the handle its wait on the loop ends as well.
    if (!error) finish(pid, ExitStatus::from_wait_status(status));
  }

  asio::io_context& io;
  Callbacks callbacks;
  asio::signal_set child_ended;
  std::map<pid_t, Worker> workers;  // started, their ends not reported yet
  int proven_attempt = -1;
  std::string proven_program;
  std::shared_ptr<ForkTemplate> fork_template;
  std::deque<std::function<void(Result<pid_t>)>> forked_callbacks;
};

ProcessLauncher::ProcessLauncher(asio::io_context& io, Callbacks callbacks)
    : impl_(std::make_shared<Impl>(io, std::move(callbacks))) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  impl_->watch_orphans();
}

ProcessLauncher::~ProcessLauncher() {
  impl_->fork_template.reset();
  impl_->kill_descendants();
}

Result<pid_t> ProcessLauncher::start(const SpawnRequest& request, WorkerStdio stdio) {
  SpawnPlan plan = {request.argv, request.environment, stdio.out, stdio.err, -1, request.cpus};
  // The first worker of an attempt proves that the program can be executed; the others need not be waited for.
  const bool proven = impl_->proven_attempt == request.attempt && impl_->proven_program == request.argv[0];
  plan.mode = proven ? SpawnPlan::Mode::kQuick : SpawnPlan::Mode::kSure;
  const Result<SpawnedProcess> process = spawn_process(plan);
  if (!process) return process.error();
  impl_->proven_attempt = request.attempt;
  impl_->proven_program = request.argv[0];
  impl_->watch_worker(request, *process);
  return process->pid;
}

void ProcessLauncher::start_template(const std::vector<std::string>& argv, const Environment& environment,
                                     const std::function<void(Status)>& ready) {
  impl_->start_template(argv, environment, ready);
}

void ProcessLauncher::fork_from_template(const SpawnRequest& request, WorkerStdio stdio,
                                         std::function<void(Result<pid_t>)> forked) {
  impl_->fork_from_template(request, stdio, std::move(forked));
}

bool ProcessLauncher::template_running() const { return impl_->fork_template && impl_->fork_template->running(); }

bool ProcessLauncher::signal_group(pid_t pid, int signal) {
  if (!impl_->workers.contains(pid)) return false;
  const Impl::Life life = Impl::life_of(pid);
  if (life == Impl::Life::kReaped) return false;
  // Just forked, it may not lead its group yet; the signal then waits, blocked, until it is about to exec.
  if (kill(-pid, signal) != 0 && errno == ESRCH) kill(pid, signal);
  return life == Impl::Life::kRunning;
}

void ProcessLauncher::kill_descendants() { impl_->kill_descendants(); }

}  // namespace ferrun
