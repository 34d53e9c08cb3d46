#include "launcher/io/process/spawn.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <memory>
#include <utility>

#include "common/io/error_description.h"
#include "common/io/unique_fd.h"
#include "launcher/io/process/raw_call.h"

namespace ferrun {
namespace {

using Step = ExecFailure::Step;

constexpr unsigned long kMostNodes = 1024;  // as many as any kernel is built for
constexpr unsigned long kBitsOfWord = 8 * sizeof(unsigned long);

// What the child needs, prepared by the parent: a child allocates nothing.
struct ChildContext {
  long parent;
  char* const* argv;
  char* const* environment;
  int out, err, extra;
  int outcome;  // where to write what failed; -1: on stderr
  bool any_cpu;
  cpu_set_t cpus;
  bool any_memory;
  unsigned long memory_nodes[kMostNodes / kBitsOfWord];
  bool limits_open_files;
  rlimit64 open_files;  // soft; the hard limit stays
  // Of constants. A pointer, because a call by name would be bound here, late.
  ErrorDescription describe;
};

// Everything below, up to be_child(), runs in the child, which may share the parent's memory: system calls of its own,
// its own stack, and what the parent has put into its context.

// An action of zeros is the default one, with an empty mask, on every architecture. The C library would spare the two
// signals that it uses itself.
void reset_signals() {
  constexpr long kKernelSetBytes = 8;
  const unsigned long default_action[8] = {};
  for (long signal = 1; signal < NSIG; ++signal) {  // EINVAL for KILL and STOP
    raw_call(SYS_rt_sigaction, signal, raw_argument(default_action), 0, kKernelSetBytes);
  }
}

long limit_of_open_files(rlimit64& limit) { return raw_call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, raw_argument(&limit)); }

void close_between(unsigned first, unsigned last) {
  if (first > last || raw_call(SYS_close_range, first, last, 0) == 0) return;
  rlimit64 limit = {};
  limit_of_open_files(limit);  // a kernel before 5.9, or a sandbox without the call
  for (unsigned fd = first; fd <= last && fd < limit.rlim_cur; ++fd) raw_call(SYS_close, fd);
}

// All from `first` on but `kept`.
void close_others(unsigned first, int kept) {
  if (kept < 0) return close_between(first, ~0U);
  const auto spared = static_cast<unsigned>(kept);
  if (spared > first) close_between(first, spared - 1);
  close_between(spared + 1, ~0U);
}

// 0, or a negated errno, like all that follows.
long move_descriptor(int from, int to) {
  if (from < 0) return 0;
  const long moved = from == to ? raw_call(SYS_fcntl, to, F_SETFD, 0) : raw_call(SYS_dup3, from, to, 0);
  return moved < 0 ? moved : 0;
}

long arrange_descriptors(ChildContext& context) {
  if (context.outcome == kExtraDescriptor) {  // the place of another one
    const long elsewhere = raw_call(SYS_fcntl, context.outcome, F_DUPFD_CLOEXEC, kExtraDescriptor + 1);
    if (elsewhere < 0) return elsewhere;
    context.outcome = static_cast<int>(elsewhere);
  }
  long moved = move_descriptor(context.out, STDOUT_FILENO);
  if (moved == 0) moved = move_descriptor(context.err, STDERR_FILENO);
  if (moved == 0) moved = move_descriptor(context.extra, kExtraDescriptor);
  if (moved != 0) return moved;
  close_others(context.extra < 0 ? kExtraDescriptor : kExtraDescriptor + 1, context.outcome);
  return 0;
}

long limit_open_files(const ChildContext& context) {
  if (!context.limits_open_files) return 0;
  rlimit64 limit = {};
  if (const long got = limit_of_open_files(limit); got < 0) return got;
  if (limit.rlim_cur == context.open_files.rlim_cur) return 0;
  limit.rlim_cur = context.open_files.rlim_cur;
  return raw_call(SYS_prlimit64, 0, RLIMIT_NOFILE, raw_argument(&limit), 0);
}

// A signal that came meanwhile acts now. Before Linux 5.17 one that leaves a core file ends everybody who has the same
// memory: the job is told to quit, but the agent must not go.
void unblock_signals() {
  constexpr long kKernelSetBytes = 8;
  uint64_t signals = 0;
  raw_call(SYS_rt_sigpending, raw_argument(&signals), kKernelSetBytes);
  if ((signals >> (SIGQUIT - 1) & 1) != 0) raw_call(SYS_kill, raw_call(SYS_getpid), SIGKILL);
  signals = 0;
  raw_call(SYS_rt_sigprocmask, SIG_SETMASK, raw_argument(&signals), 0, kKernelSetBytes);
}

ExecFailure failure(Step step, long answer) { return {step, static_cast<int32_t>(-answer)}; }

// Returns what failed.
ExecFailure execute(ChildContext& context) {
  reset_signals();
  raw_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
  if (raw_call(SYS_getppid) != context.parent) return failure(Step::kParentDied, 0);  // before that took effect
  raw_call(SYS_setsid);
  if (!context.any_cpu) {
    const long bound = raw_call(SYS_sched_setaffinity, 0, sizeof(cpu_set_t), raw_argument(&context.cpus));
    if (bound < 0) return failure(Step::kAffinity, bound);
  }
  // That the kernel takes it at all is known before; a node that went meanwhile is no reason not to run.
  if (!context.any_memory) {
    raw_call(SYS_set_mempolicy, MPOL_PREFERRED, raw_argument(context.memory_nodes), kMostNodes + 1);
  }
  if (const long done = arrange_descriptors(context); done < 0) return failure(Step::kStdio, done);
  if (const long done = limit_open_files(context); done < 0) return failure(Step::kLimit, done);
  unblock_signals();
  return failure(Step::kExec, raw_call(SYS_execve, raw_argument(context.argv[0]), raw_argument(context.argv),
                                       raw_argument(context.environment)));
}

void write_text(const char* text) {
  long length = 0;
  while (text[length] != 0) ++length;
  raw_call(SYS_write, STDERR_FILENO, raw_argument(text), length);
}

void say_why(const ChildContext& context, int error) {
  const char* reason = context.describe(error);
  write_text("ferrun: cannot execute ");
  write_text(context.argv[0]);
  write_text(": ");
  write_text(reason != nullptr ? reason : "unknown error");
  write_text("\n");
}

int be_child(void* given) {
  ChildContext& context = *static_cast<ChildContext*>(given);
  const ExecFailure failed = execute(context);
  if (context.outcome >= 0) {
    raw_call(SYS_write, context.outcome, raw_argument(&failed), sizeof failed);
  } else if (failed.step != Step::kParentDied) {
    say_why(context, failed.error);
  }
  raw_call(SYS_exit_group, 127);
  return 127;
}

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What one child uses of this process's memory from its clone to its exec.
struct SharedPlace {
  static constexpr size_t kStackBytes = 16 << 10;

  // The kernel's word that the child has left the memory; 0: nobody is here.
  std::atomic<int> occupied = 0;
  std::vector<std::string> argv, variables;
  std::vector<char*> argv_pointers, variable_pointers;
  ChildContext context = {};
  alignas(64) std::byte stack[kStackBytes];
};

// The kernel wakes whoever waits for a child to leave the memory.
void wait_a_moment_for(SharedPlace& place) {
  constexpr timespec kMoment = {0, 200'000};
  syscall(SYS_futex, &place.occupied, FUTEX_WAIT, 1, &kMoment, nullptr, 0);
}

// Few: a program on a file system that hangs keeps its place for ever, and memory too. While all are taken more
// children than the processors can serve are on their way, so a moment lost here delays nobody. Never destroyed,
// because such a child may come back from the kernel at any time. Used by the thread that starts processes alone.
SharedPlace* free_place() {
  constexpr size_t kMostPlaces = 8;
  static std::array<SharedPlace*, kMostPlaces> places = {};
  static size_t next = 0;
  const auto find = [] {
    for (SharedPlace*& place : places) {
      if (place == nullptr) place = new SharedPlace;
      if (place->occupied.load(std::memory_order_acquire) == 0) return place;
    }
    return static_cast<SharedPlace*>(nullptr);
  };
  SharedPlace* place = find();
  if (place != nullptr) return place;
  wait_a_moment_for(*places[next++ % kMostPlaces]);
  return find();
}

// Sanitizers watch memory and threads, and know nothing of such a child.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMayShareMemory = false;
#elif defined(__has_feature)
constexpr bool kMayShareMemory = kHasRawCalls && !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#else
constexpr bool kMayShareMemory = kHasRawCalls;
#endif

// A child that shares this process's memory until its exec: nothing is copied for it, and nothing waited for, unlike
// with vfork(2). Negative: it cannot be had.
pid_t clone_sharing(SharedPlace& place) {
  place.occupied.store(1, std::memory_order_release);
  const pid_t pid = clone(be_child, place.stack + SharedPlace::kStackBytes, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD,
                          &place.context, nullptr, nullptr, &place.occupied);
  if (pid < 0) place.occupied.store(0, std::memory_order_release);
  return pid;
}

// The place is only filled when there is one; else a child gets copies of everything by fork(2).
pid_t start_child(SharedPlace* place, ChildContext& context) {
  if (place != nullptr) {
    if (const pid_t pid = clone_sharing(*place); pid > 0) return pid;
  }
  const pid_t pid = fork();
  if (pid == 0) be_child(&context);
  return pid;
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
  UniqueFd theirs;
  UniqueFd ours;
};

bool open_pipe(OutcomePipe& outcome) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  outcome = {UniqueFd(ends[1]), UniqueFd(ends[0])};
  return true;
}

void fill(SharedPlace& place, const SpawnPlan& plan, int outcome) {
  place.argv = plan.argv;
  place.variables = plan.environment.to_strings();
  place.argv_pointers = pointers_to(place.argv);
  place.variable_pointers = pointers_to(place.variables);
  ChildContext& context = place.context;
  context = {};
  context.parent = getpid();
  context.argv = place.argv_pointers.data();
  context.environment = place.variable_pointers.data();
  context.out = plan.out;
  context.err = plan.err;
  context.extra = plan.extra;
  context.outcome = outcome;
  context.any_cpu = plan.cpus.empty();
  for (const int cpu : plan.cpus) {
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(static_cast<unsigned>(cpu), &context.cpus);
  }
  const auto node = static_cast<unsigned long>(plan.memory_node.value_or(-1));
  context.any_memory = node >= kMostNodes;
  if (!context.any_memory) context.memory_nodes[node / kBitsOfWord] = 1UL << node % kBitsOfWord;
  context.limits_open_files = plan.open_files.has_value();
  context.open_files.rlim_cur = plan.open_files.value_or(0);
  context.describe = error_description();
}

}  // namespace

Result<SpawnedProcess> spawn_process(const SpawnPlan& plan) {
  OutcomePipe outcome;
  if (plan.mode == SpawnPlan::Mode::kSure && !open_pipe(outcome)) return explain_fork_failure(errno);
  SharedPlace* const shared = kMayShareMemory ? free_place() : nullptr;
  std::unique_ptr<SharedPlace> own;
  if (shared == nullptr) own = std::make_unique<SharedPlace>();
  SharedPlace& place = shared != nullptr ? *shared : *own;
  fill(place, plan, outcome.theirs.get());

  // No handler of the parent's may run in the child, and no signal end it unprepared.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = start_child(shared, place.context);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return explain_fork_failure(error);
  return SpawnedProcess{pid, outcome.ours.release()};
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
