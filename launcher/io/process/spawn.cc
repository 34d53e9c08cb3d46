#include "launcher/io/process/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>

// glibc's clone(2) under the name that ThreadSanitizer does not wrap: its wrapper would note a fork in the memory that
// parent and child share, and the parent would stop taking signals.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" int __clone(int (*entry)(void*), void* stack, int flags, void* argument, ...) noexcept;

namespace ferrun {
namespace {

enum class Step { kNone, kParentDied, kAffinity, kStdio, kExec };

// What the child needs, prepared by the parent: the child shares the parent's memory and must not allocate.
struct ChildContext {
  pid_t parent;
  char* const* argv;
  char* const* environment;
  int out, err, extra;
  const cpu_set_t* cpus;  // null: inherited
  // Written by the child, read by the parent once the child has executed its program or ended.
  Step failed_step;
  int error;
};

// By the system call itself: ThreadSanitizer's sigaction keeps the handlers in memory that the child shares, and would
// take the parent's away. An action of zeros is the default one, with an empty mask, on every architecture.
void reset_signals() {
  constexpr size_t kKernelSetBytes = 8;
  const unsigned long default_action[8] = {};
  for (int signal = 1; signal < NSIG; ++signal) {
    syscall(SYS_rt_sigaction, signal, default_action, nullptr, kKernelSetBytes);  // EINVAL for KILL and STOP
  }
}

void close_from(unsigned first) {
  if (syscall(SYS_close_range, first, ~0U, 0U) == 0) return;
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);  // a kernel before 5.9, or a sandbox without the call
  for (unsigned fd = first; fd < limit.rlim_cur; ++fd) close(static_cast<int>(fd));
}

bool move_descriptor(int from, int to) { return from < 0 || dup2(from, to) == to; }

// Runs in the child; returns the step that failed.
Step execute(ChildContext& context) {
  reset_signals();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != context.parent) return Step::kParentDied;  // died before the line above took effect
  setsid();
  if (context.cpus != nullptr && sched_setaffinity(0, sizeof(cpu_set_t), context.cpus) != 0) return Step::kAffinity;
  if (!move_descriptor(context.out, STDOUT_FILENO) || !move_descriptor(context.err, STDERR_FILENO) ||
      !move_descriptor(context.extra, kExtraDescriptor)) {
    return Step::kStdio;
  }
  if (context.extra == kExtraDescriptor) fcntl(kExtraDescriptor, F_SETFD, 0);  // dup2 onto itself keeps close-on-exec
  close_from(context.extra < 0 ? kExtraDescriptor : kExtraDescriptor + 1);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(context.argv[0], context.argv, context.environment);
  return Step::kExec;
}

int sharing_child(void* raw) {
  auto& context = *static_cast<ChildContext*>(raw);
  context.failed_step = execute(context);
  context.error = errno;
  return 127;  // ends the process like _exit: nothing of the parent's is flushed or destroyed
}

// CLONE_VM | CLONE_VFORK: the parent sleeps until the child has executed its program, so the error comes back through
// memory, without a pipe, and no page table is copied.
pid_t clone_sharing(ChildContext& context, int& pidfd) {
  constexpr size_t kStackBytes = 32 * 1024;
  const auto stack = std::make_unique_for_overwrite<char[]>(kStackBytes);  // malloc aligns it, and so its end
  return __clone(sharing_child, stack.get() + kStackBytes, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &context,
                 &pidfd);
}

void write_text(const char* text) { [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, text, strlen(text)); }

[[noreturn]] void separate_child(ChildContext& context) {
  if (execute(context) != Step::kParentDied) {
    const char* reason = strerrordesc_np(errno);  // a constant: no allocation after a fork beside other threads
    write_text("ferrun: cannot execute ");
    write_text(context.argv[0]);
    write_text(": ");
    write_text(reason != nullptr ? reason : "unknown error");
    write_text("\n");
  }
  _exit(127);
}

// The child execs on another core while the parent forks the next one: for 64 workers this halves the time.
pid_t fork_separate(ChildContext& context, int& pidfd) {
  const pid_t pid = fork();
  if (pid == 0) separate_child(context);
  if (pid < 0) return pid;
  pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd >= 0) return pid;
  const int error = errno;
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  errno = error;
  return -1;
}

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

Error explain_clone_failure(int error) {
  rlimit limit = {};
  if (error == EMFILE) {
    getrlimit(RLIMIT_NOFILE, &limit);
    return {ErrorKind::kPlatform, "cannot start a worker: too many open files (limit " +
                                      std::to_string(limit.rlim_cur) + "); raise it with `ulimit -n`"};
  }
  if (error == EAGAIN) {
    getrlimit(RLIMIT_NPROC, &limit);
    return {ErrorKind::kPlatform,
            "cannot start a worker: the limit on processes is reached (`ulimit -u`, or the "
            "pids limit of the container)"};
  }
  return {ErrorKind::kPlatform, std::string("cannot start a worker: ") + std::strerror(error)};
}

Error explain_child_failure(const SpawnPlan& plan, const ChildContext& context) {
  switch (context.failed_step) {
    case Step::kAffinity: {
      std::string cpus;
      for (const int cpu : plan.cpus) cpus += (cpus.empty() ? "" : ",") + std::to_string(cpu);
      return {ErrorKind::kUser, "cannot bind a worker to CPUs " + cpus + ": " + std::strerror(context.error)};
    }
    case Step::kExec: return explain_exec_failure(plan.argv[0], context.error);
    default: return {ErrorKind::kPlatform, std::string("cannot start a worker: ") + std::strerror(context.error)};
  }
}

}  // namespace

Result<SpawnedProcess> spawn_process(const SpawnPlan& plan) {
  const std::vector<std::string> variables = plan.environment.to_strings();
  const std::vector<char*> argv = pointers_to(plan.argv);
  const std::vector<char*> environment = pointers_to(variables);
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  for (const int cpu : plan.cpus) {
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(static_cast<unsigned>(cpu), &cpus);
  }
  ChildContext context = {getpid(),
                          argv.data(),
                          environment.data(),
                          plan.out,
                          plan.err,
                          plan.extra,
                          plan.cpus.empty() ? nullptr : &cpus,
                          Step::kNone,
                          0};

  // No handler of the parent's may run in the child, which may share its memory, and no signal end it unprepared.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  SpawnedProcess process;
  process.pid = plan.mode == SpawnPlan::Mode::kSure ? clone_sharing(context, process.pidfd)
                                                    : fork_separate(context, process.pidfd);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);

  if (process.pid < 0) return explain_clone_failure(error);
  if (context.failed_step == Step::kNone) return process;
  close(process.pidfd);
  while (waitpid(process.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return explain_child_failure(plan, context);
}

}  // namespace ferrun
