#include "launcher/io/process/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <utility>

namespace ferrun {
namespace {

using Step = ExecFailure::Step;

// What the child needs, prepared by the parent: it must not allocate after a fork beside other threads.
struct ChildContext {
  pid_t parent;
  char* const* argv;
  char* const* environment;
  int out, err, extra;
  int outcome;            // where to write what failed; -1: on stderr
  const cpu_set_t* cpus;  // null: inherited
  std::optional<uint64_t> open_files;
};

// By the system call itself, because glibc refuses to touch the two signals that it uses. An action of zeros is the
// default one, with an empty mask, on every architecture.
void reset_signals() {
  constexpr size_t kKernelSetBytes = 8;
  const unsigned long default_action[8] = {};
  for (int signal = 1; signal < NSIG; ++signal) {
    syscall(SYS_rt_sigaction, signal, default_action, nullptr, kKernelSetBytes);  // EINVAL for KILL and STOP
  }
}

void close_between(unsigned first, unsigned last) {
  if (first > last || syscall(SYS_close_range, first, last, 0U) == 0) return;
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);  // a kernel before 5.9, or a sandbox without the call
  for (unsigned fd = first; fd <= last && fd < limit.rlim_cur; ++fd) close(static_cast<int>(fd));
}

// All from `first` on but `kept`.
void close_others(unsigned first, int kept) {
  if (kept < 0) return close_between(first, ~0U);
  const auto spared = static_cast<unsigned>(kept);
  if (spared > first) close_between(first, spared - 1);
  close_between(spared + 1, ~0U);
}

bool move_descriptor(int from, int to) { return from < 0 || dup2(from, to) == to; }

bool arrange_descriptors(ChildContext& context) {
  if (context.outcome == kExtraDescriptor) {  // the place of another one
    context.outcome = fcntl(context.outcome, F_DUPFD_CLOEXEC, kExtraDescriptor + 1);
    if (context.outcome < 0) return false;
  }
  if (!move_descriptor(context.out, STDOUT_FILENO) || !move_descriptor(context.err, STDERR_FILENO) ||
      !move_descriptor(context.extra, kExtraDescriptor)) {
    return false;
  }
  if (context.extra == kExtraDescriptor) fcntl(kExtraDescriptor, F_SETFD, 0);  // dup2 onto itself keeps close-on-exec
  close_others(context.extra < 0 ? kExtraDescriptor : kExtraDescriptor + 1, context.outcome);
  return true;
}

bool limit_open_files(std::optional<uint64_t> soft) {
  rlimit limit = {};
  if (!soft) return true;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  if (limit.rlim_cur == *soft) return true;
  limit.rlim_cur = *soft;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

// Runs in the child; returns the step that failed.
Step execute(ChildContext& context) {
  reset_signals();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != context.parent) return Step::kParentDied;  // died before the line above took effect
  setsid();
  if (context.cpus != nullptr && sched_setaffinity(0, sizeof(cpu_set_t), context.cpus) != 0) return Step::kAffinity;
  if (!arrange_descriptors(context)) return Step::kStdio;
  if (!limit_open_files(context.open_files)) return Step::kLimit;
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(context.argv[0], context.argv, context.environment);
  return Step::kExec;
}

void write_text(const char* text) { [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, text, strlen(text)); }

void say_why(const char* program, int error) {
  const char* reason = strerrordesc_np(error);  // a constant
  write_text("ferrun: cannot execute ");
  write_text(program);
  write_text(": ");
  write_text(reason != nullptr ? reason : "unknown error");
  write_text("\n");
}

[[noreturn]] void be_child(ChildContext& context) {
  const Step step = execute(context);
  const ExecFailure failure = {step, errno};
  if (context.outcome >= 0) {
    [[maybe_unused]] const ssize_t n = write(context.outcome, &failure, sizeof failure);
  } else if (step != Step::kParentDied) {
    say_why(context.argv[0], failure.error);
  }
  _exit(127);
}

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

Error explain_fork_failure(int error) {
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

struct OutcomePipe {
  int theirs = -1;
  int ours = -1;
};

bool open_pipe(OutcomePipe& outcome) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  outcome = {ends[1], ends[0]};
  return true;
}

void close_if_open(int fd) {
  if (fd >= 0) close(fd);
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
  OutcomePipe outcome;
  if (plan.mode == SpawnPlan::Mode::kSure && !open_pipe(outcome)) return explain_fork_failure(errno);
  ChildContext context = {getpid(),       argv.data(), environment.data(), plan.out,
                          plan.err,       plan.extra,  outcome.theirs,     plan.cpus.empty() ? nullptr : &cpus,
                          plan.open_files};

  // No handler of the parent's may run in the child, and no signal end it unprepared.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = fork();
  if (pid == 0) be_child(context);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  close_if_open(outcome.theirs);
  if (pid > 0) return SpawnedProcess{pid, outcome.ours};
  close_if_open(outcome.ours);
  return explain_fork_failure(error);
}

std::optional<ExecFailure> read_exec_outcome(int exec_outcome) {
  ExecFailure failure;
  ssize_t n = 0;
  while ((n = read(exec_outcome, &failure, sizeof failure)) < 0 && errno == EINTR) {
  }
  if (n == sizeof failure) return failure;
  return std::nullopt;
}

Error explain_start_failure(const std::string& program, const std::vector<int>& cpus, const ExecFailure& failure) {
  switch (failure.step) {
    case Step::kAffinity: {
      std::string list;
      for (const int cpu : cpus) list += (list.empty() ? "" : ",") + std::to_string(cpu);
      return {ErrorKind::kUser, "cannot bind a worker to CPUs " + list + ": " + std::strerror(failure.error)};
    }
    case Step::kExec: return explain_exec_failure(program, failure.error);
    default: return {ErrorKind::kPlatform, std::string("cannot start a worker: ") + std::strerror(failure.error)};
  }
}

}  // namespace ferrun
