#include "launcher/io/process/sentinel.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/exit_status.h"
#include "common/io/unique_fd.h"
#include "launcher/io/process/descendants.h"
#include "launcher/io/process/last_words.h"
#include "launcher/io/process/lease_watch.h"
#include "launcher/io/process/sentinel_sweep.h"
#include "launcher/io/process/signal_message.h"

namespace ferrun {
namespace {

Error system_error(const char* what) {
  return {ErrorKind::kPlatform,
          std::string("cannot put a sentinel above the job: ") + what + ": " + std::strerror(errno)};
}

// A program may be started with 0, 1 or 2 closed. The next descriptor opened would take that number, and a socket of
// ferrun's would become a worker's stdout.
void open_missing_standard_descriptors() {
  for (;;) {
    UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null || null.get() > STDERR_FILENO) return;
    fcntl(null.release(), F_SETFD, 0);
  }
}

sigset_t all_signals() {
  sigset_t set;
  sigfillset(&set);
  return set;
}

// Reaps what has ended, orphans of the agent's included; the agent's own wait status when it is among them. What was
// there `before` the job and has ended is forgotten: its number may become anybody's.
std::optional<int> reap_until_agent(pid_t agent, std::vector<pid_t>& before) {
  int status = 0;
  pid_t pid = 0;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid == agent) return status;
    std::erase(before, pid);
  }
  return std::nullopt;
}

// SIGCONT has to act on an agent that is stopped and reads nothing. Where the message cannot be sent the signal itself
// goes; the agent is not reaped yet, so its pid is its own.
void pass_on(const siginfo_t& info, pid_t agent, int messages) {
  const SignalMessage message = {info.si_signo, info.si_pid, info.si_code};
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  if (info.si_signo != SIGCONT && send(messages, &message, sizeof message, kFlags) == sizeof message) return;
  kill(agent, info.si_signo);
}

// Ctrl-Z suspends the job, workers in sessions of their own included, as it would suspend a plain pipeline; `fg`, `bg`
// or SIGCONT continue it. The stop is SIGTSTP's own default action, which does nothing in an orphaned process group,
// where nobody could continue us: then the job is continued at once.
void suspend_job(pid_t agent, LeaseWatch& leases) {
  signal_tree(agent, SIGSTOP);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  raise(SIGTSTP);
  sigprocmask(SIG_UNBLOCK, &stop, nullptr);  // stops here; returns after SIGCONT
  sigprocmask(SIG_BLOCK, &stop, nullptr);
  leases.enforce(agent);
  signal_tree(agent, SIGCONT);
}

// A line for the person whose agent was killed behind its back.
void report_killed_agent(pid_t agent, int signal) {
  say_without_waiting("ferrun: the agent (pid " + std::to_string(agent) + ") was killed by " + signal_name(signal) +
                      "; every process of its job has been killed\n");
}

// Ends as the agent ended, so that shells and schedulers see what happened to it.
[[noreturn]] void end_like_agent(int status) {
  if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
  const int signal = WTERMSIG(status);
  const rlimit no_core = {0, 0};  // the agent has left the core file, if any
  setrlimit(RLIMIT_CORE, &no_core);
  std::signal(signal, SIG_DFL);
  raise(signal);
  const sigset_t all = all_signals();
  sigprocmask(SIG_UNBLOCK, &all, nullptr);
  _exit(128 + signal);  // the first process of a container cannot be ended by its own signal
}

[[noreturn]] void watch_job(pid_t agent, int messages, LeaseWatch& leases, std::vector<pid_t> before) {
  // `pkill ferrun` and `killall -9 ferrun` go by this name: they must not take both of the pair at once.
  prctl(PR_SET_NAME, "sentinel");
  const sigset_t all = all_signals();
  int forwarded = 0;
  for (;;) {
    siginfo_t info = {};
    const int signal = leases.wait_for_signal(all, &info, agent);
    if (signal < 0) continue;  // EINTR: stopped and continued
    if (signal == SIGCHLD) {
      const std::optional<int> status = reap_until_agent(agent, before);
      if (!status) continue;
      kill_and_reap_all_children(before, agent);
      leases.let_go();
      if (WIFSIGNALED(*status) && WTERMSIG(*status) != forwarded) report_killed_agent(agent, WTERMSIG(*status));
      end_like_agent(*status);
    }
    if (signal == SIGTSTP && !ignored_now(SIGTSTP)) {
      suspend_job(agent, leases);
    } else if (is_meant(signal, info.si_code, ignored_now(signal))) {
      forwarded = signal;
      pass_on(info, agent, messages);
    }
  }
}

void become_agent() {
  // Out of the sentinel's process group: `kill -9 -PGID` (a shell's `kill -9 %job`) hits the sentinel alone.
  setpgid(0, 0);
  // That makes it a background process of the terminal; it must write there all the same (`stty tostop`).
  signal(SIGTTOU, SIG_IGN);
  // A suspended agent must wake up to see that its sentinel has died (the descriptor tells, this only continues it).
  // Had it died before this call, the descriptor would be readable already.
  prctl(PR_SET_PDEATHSIG, SIGCONT);
}

// `theirs` becomes the sentinel's end of the pair.
Status connect_agent(SentinelLink& link, int& theirs) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return system_error("socketpair");
  link.messages = ends[0];
  theirs = ends[1];
  return ok_status();
}

Status share_page(SentinelLink& link) {
  void* page = mmap(nullptr, sizeof(LeasePage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return system_error("mmap");
  link.page = new (page) LeasePage;
  return ok_status();
}

}  // namespace

Result<SentinelLink> become_agent_under_sentinel() {
  open_missing_standard_descriptors();
  SentinelLink link;
  int messages = -1;
  if (Status connected = connect_agent(link, messages); !connected) return connected.error();
  if (Status shared = share_page(link); !shared) return shared.error();
  signal(SIGCHLD, SIG_DFL);  // inherited as ignored, children would vanish without a status
  const std::vector<pid_t> before = children_from_before();
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return system_error("PR_SET_CHILD_SUBREAPER");
  // Blocked before the fork: no signal finds the sentinel or the agent unprepared, and its own end is never an
  // accident.
  const sigset_t all = all_signals();
  sigprocmask(SIG_BLOCK, &all, nullptr);
  const pid_t agent = fork();
  if (agent < 0) return system_error("fork");
  if (agent > 0) {
    close(link.messages);
    LeaseWatch leases(link.page, messages);
    watch_job(agent, messages, leases, before);
  }
  close(messages);
  become_agent();
  return link;
}

}  // namespace ferrun
