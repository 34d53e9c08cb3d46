// Workers started by fork and exec: what they see, how their ends are reported, and what is left of them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "launcher/io/probe/node_memory.h"
#include "launcher/io/process/descendants.h"
#include "tests/process/launcher_harness.h"

namespace ferrun::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

size_t open_descriptors() {
  namespace fs = std::filesystem;
  return static_cast<size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

TEST(Spawn, ReportsEveryExitCode) {
  LauncherHarness harness;
  for (int code = 0; code <= 255; ++code) {
    harness.start(harness.request({"exit", std::to_string(code)}, code));
  }
  ASSERT_TRUE(harness.run_until_exits(256));
  for (const Exit& exit : harness.exits) EXPECT_EQ(exit.status, ExitStatus::exited(exit.local_rank));
}

TEST(Spawn, TellsASignalFromTheCodeOfItsNumber) {
  LauncherHarness harness;
  EXPECT_EQ(harness.run({"exit", "9"}), ExitStatus::exited(9));
  EXPECT_EQ(harness.run({"raise", "KILL"}), ExitStatus::signaled(SIGKILL));
}

TEST(Spawn, ReportsEverySignalThatEndsAProcess) {
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGABRT, SIGFPE, SIGKILL, SIGSEGV, SIGPIPE, SIGALRM,
                           SIGTERM, SIGBUS, SIGUSR1, SIGUSR2, SIGSYS, SIGTRAP, SIGXCPU, SIGXFSZ, SIGRTMIN + 3}) {
    LauncherHarness harness;
    const ExitStatus status = harness.run({"raise", std::to_string(signal)});
    EXPECT_TRUE(status.is_signal()) << signal_name(signal);
    EXPECT_EQ(status.signal(), signal);
  }
}

TEST(Spawn, NamesAttemptRankAndPidOfAnEnd) {
  LauncherHarness harness;
  const pid_t pid = harness.start(harness.request({"exit", "3"}, 5, 2));
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_EQ(harness.exits[0].attempt, 2);
  EXPECT_EQ(harness.exits[0].local_rank, 5);
  EXPECT_EQ(harness.exits[0].pid, pid);
}

TEST(Spawn, GivesAWorkerItsOwnSessionAndDeathSignal) {
  LauncherHarness harness;
  const pid_t pid = harness.start(harness.request({"ids"}));
  ASSERT_TRUE(harness.run_until_exits(1));
  const std::string id = std::to_string(pid);
  EXPECT_EQ(harness.output(),
            "pid=" + id + " ppid=" + std::to_string(getpid()) + " pgid=" + id + " sid=" + id + " pdeathsig=9\n");
}

// The second worker of an attempt takes the other way to start, so each property is asked of two.
class EveryWorker : public ::testing::TestWithParam<int> {
 protected:
  std::string output_of_nth(const std::vector<std::string>& actions) {
    for (int rank = 0; rank <= GetParam(); ++rank) harness.start(harness.request(actions, rank));
    EXPECT_TRUE(harness.run_until_exits(static_cast<size_t>(GetParam()) + 1));
    return harness.output(GetParam());
  }
  LauncherHarness harness;
};

TEST_P(EveryWorker, HasNoDescriptorButTheStandardOnes) {
  const int leaked = open("/dev/null", O_RDONLY);  // not close-on-exec
  const int high = fcntl(leaked, F_DUPFD, 700);
  EXPECT_EQ(output_of_nth({"fds"}), "0 1 2\n");
  close(leaked);
  close(high);
}

TEST_P(EveryWorker, HasDefaultSignalsAndAnEmptyMask) {
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigaddset(&blocked, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  const auto pipe_action = signal(SIGPIPE, SIG_IGN);
  const auto hangup_action = signal(SIGHUP, SIG_IGN);
  EXPECT_EQ(output_of_nth({"signals"}), "blocked=0000000000000000 ignored=0000000000000000 caught=0000000000000000\n");
  sigset_t after;
  sigprocmask(SIG_SETMASK, &before, &after);
  EXPECT_TRUE(sigismember(&after, SIGUSR1) == 1 && sigismember(&after, SIGTERM) == 0) << "the agent's own mask changed";
  signal(SIGPIPE, pipe_action);
  signal(SIGHUP, hangup_action);
}

TEST_P(EveryWorker, GetsItsArgumentsUntouched) {
  const std::vector<std::string> odd = {
      "args", "only-rank", "77", "out", "", "only-rank", "77", "out", "a b\n$HOME \"q\" \xc3\xa9\xff $$"};
  std::string expected;
  for (const std::string& argument : odd) expected += argument + "\n";
  EXPECT_EQ(output_of_nth(odd), expected);
}

TEST_P(EveryWorker, RunsOnTheGivenCpusAlone) {
  cpu_set_t mine;
  sched_getaffinity(0, sizeof mine, &mine);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<size_t>(cpu), &mine)) last = cpu;
  }
  for (int rank = 0; rank <= GetParam(); ++rank) {
    SpawnRequest request = harness.request({"cpus"}, rank);
    request.cpus = {last};
    harness.start(request);
  }
  EXPECT_TRUE(harness.run_until_exits(static_cast<size_t>(GetParam()) + 1));
  EXPECT_EQ(harness.output(GetParam()), std::to_string(last) + "\n");
}

TEST_P(EveryWorker, PrefersTheMemoryOfItsNode) {
  const NodeMemory memory = read_node_memory("/");
  if (memory.has_policy || !memory.refusal.empty() || memory.nodes.empty()) {
    GTEST_SKIP() << "no memory policy can be set here: " << memory.refusal;
  }
  for (int rank = 0; rank <= GetParam(); ++rank) {
    SpawnRequest request = harness.request({"memory-policy"}, rank);
    request.memory_node = memory.nodes.back();
    harness.start(request);
  }
  harness.start(harness.request({"memory-policy"}, GetParam() + 1));
  EXPECT_TRUE(harness.run_until_exits(static_cast<size_t>(GetParam()) + 2));
  EXPECT_EQ(harness.output(GetParam()), "prefer " + std::to_string(memory.nodes.back()) + "\n");
  EXPECT_EQ(harness.output(GetParam() + 1), "none\n") << "ferrun's own is as it was";
}

TEST_P(EveryWorker, RunsWhereItsNodeHasNoMemory) {
  for (int rank = 0; rank <= GetParam(); ++rank) {
    SpawnRequest request = harness.request({"exit", "0"}, rank);
    request.memory_node = 1023;
    harness.start(request);
  }
  EXPECT_TRUE(harness.run_until_exits(static_cast<size_t>(GetParam()) + 1));
}

TEST_P(EveryWorker, HasTheLimitOfOpenFilesThatItWasGiven) {
  LauncherHarness limited(123);
  for (int rank = 0; rank <= GetParam(); ++rank) limited.start(limited.request({"open-files"}, rank));
  EXPECT_TRUE(limited.run_until_exits(static_cast<size_t>(GetParam()) + 1));
  EXPECT_EQ(limited.output(GetParam()), "123\n");
}

INSTANTIATE_TEST_SUITE_P(FirstAndSecond, EveryWorker, ::testing::Values(0, 1),
                         [](const auto& nth) { return nth.param == 0 ? "First" : "Second"; });

TEST(Spawn, GivesAWorkerExactlyTheRequestedEnvironment) {
  LauncherHarness harness;
  SpawnRequest request = harness.request({"env-all"});
  request.environment = Environment();
  request.environment.set("RANK", "0");
  request.environment.set("EMPTY", "");
  request.environment.set("ODD", "a=b c\nd");
  harness.start(request);
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_EQ(harness.output(), "EMPTY=\nODD=a=b c\nd\nRANK=0\n");
}

TEST(Spawn, LeavesNoDescriptorOpenInTheAgent) {
  LauncherHarness harness;
  harness.run({"exit", "0"});
  const size_t before = open_descriptors();
  for (int rank = 0; rank < 50; ++rank) harness.start(harness.request({"exit", "0"}, rank));
  ASSERT_TRUE(harness.run_until_exits(51));
  SpawnRequest missing = harness.request({});
  missing.attempt = 1;
  missing.argv = {"/nonexistent/program"};
  EXPECT_FALSE(harness.try_start(missing, {}));
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Spawn, KillsEveryKindOfGrandchildAndReportsTheWorkersEnd) {
  for (const std::string kind : {"plain", "setsid", "double", "setsid-double"}) {
    LauncherHarness harness;
    harness.start(harness.request({"ignore", "TERM", "child", kind, "touch", harness.directory.file("up"), "forever"}));
    ASSERT_TRUE(harness.run_until([&] { return std::filesystem::exists(harness.directory.file("up")); })) << kind;
    EXPECT_THAT(harness.marker.processes(), SizeIs(2)) << kind;
    harness.sweep();
    EXPECT_THAT(harness.marker.processes(), IsEmpty()) << kind;
    EXPECT_THAT(own_children(), IsEmpty()) << kind << ": something was not reaped";
    ASSERT_TRUE(harness.run_until_exits(1)) << kind;
    EXPECT_EQ(harness.exits[0].status, ExitStatus::signaled(SIGKILL)) << kind;
  }
}

TEST(Spawn, ReapsOrphansThatEndByThemselves) {
  LauncherHarness harness;
  harness.start(harness.request({"child", "double", "exit", "0"}));
  ASSERT_TRUE(harness.run_until_exits(1));
  ASSERT_TRUE(harness.run_until([] { return !own_children().empty(); }));
  for (const pid_t orphan : harness.marker.processes()) kill(orphan, SIGKILL);
  EXPECT_TRUE(harness.run_until([] { return own_children().empty(); })) << "a zombie was left";
}

TEST(Spawn, SignalsTheWholeGroupOfAWorker) {
  LauncherHarness harness;
  const pid_t pid =
      harness.start(harness.request({"child", "plain", "touch", harness.directory.file("up"), "forever"}));
  ASSERT_TRUE(harness.run_until([&] { return std::filesystem::exists(harness.directory.file("up")); }));
  harness.launcher.signal_group(pid, SIGTERM);
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_EQ(harness.exits[0].status, ExitStatus::signaled(SIGTERM));
  EXPECT_TRUE(eventually([&] { return harness.marker.processes().empty(); })) << "the grandchild was not signalled";
}

TEST(Spawn, AnImmediateSignalReachesAWorkerThatWasNotWaitedFor) {
  LauncherHarness harness;
  for (int rank = 0; rank < 20; ++rank) {
    const pid_t pid = harness.start(harness.request({"forever"}, rank));
    harness.launcher.signal_group(pid, SIGTERM);
  }
  ASSERT_TRUE(harness.run_until_exits(20));
  for (const Exit& exit : harness.exits) EXPECT_EQ(exit.status, ExitStatus::signaled(SIGTERM));
}

TEST(Spawn, TellsWhetherASignalCameBeforeTheEnd) {
  LauncherHarness harness;
  const pid_t running = harness.start(harness.request({"forever"}));
  const pid_t ended = harness.start(harness.request({"exit", "3"}, 1));
  // A zombie, or gone where it ended so soon that its handle reaped it when it was made.
  ASSERT_TRUE(eventually([&] {
    const char state = process_state(ended);
    return state == 'Z' || state == '\0';
  }));
  EXPECT_TRUE(harness.launcher.signal_group(running, SIGTERM));
  EXPECT_FALSE(harness.launcher.signal_group(ended, SIGTERM)) << "its end waits to be reported";
  ASSERT_TRUE(harness.run_until_exits(2));
  EXPECT_FALSE(harness.launcher.signal_group(ended, SIGTERM));
}

TEST(Spawn, NeverSignalsThePidOfAReapedWorker) {
  LauncherHarness harness;
  const pid_t ended = harness.start(harness.request({"child", "plain", "exit", "0"}));
  ASSERT_TRUE(harness.run_until_exits(1));
  harness.launcher.signal_group(ended, SIGTERM);  // its group still has a member, but its number may be anybody's
  EXPECT_THAT(harness.marker.processes(), SizeIs(1));
  harness.sweep();
  EXPECT_THAT(harness.marker.processes(), IsEmpty());
}

TEST(Spawn, SaysOnStderrWhyALaterWorkerOfAnAttemptCouldNotExec) {
  LauncherHarness harness;
  const std::string program = harness.directory.file("vanishing");
  std::filesystem::create_symlink(FERRUN_TEST_BIN_DIR "/probe_worker", program);
  SpawnRequest request = harness.request({"exit", "0"});
  request.argv[0] = program;
  harness.start(request);
  std::filesystem::remove(program);
  request.local_rank = 1;
  harness.start(request);
  ASSERT_TRUE(harness.run_until_exits(2));
  EXPECT_THAT(harness.output(1), StartsWith("ferrun: cannot execute " + program + ": No such file or directory\n"));
}

class ExecFailure : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& content, mode_t mode = 0755) {
    const std::string path = harness.directory.file(name);
    std::ofstream(path, std::ios::binary) << content;
    chmod(path.c_str(), mode);
    return path;
  }
  std::string reason(const std::string& program) {
    SpawnRequest request = harness.request({});
    request.argv[0] = program;
    const Result<pid_t> started = harness.try_start(request, {});
    if (started) return "it started";
    EXPECT_EQ(started.error().kind, ErrorKind::kUser);
    EXPECT_THAT(own_children(), IsEmpty());
    EXPECT_EQ(started.error().message.find('\n'), std::string::npos) << "more than one line";
    return started.error().message;
  }
  LauncherHarness harness;
};

TEST_F(ExecFailure, MissingProgram) {
  EXPECT_EQ(reason("/nonexistent/train"), "program not found: /nonexistent/train");
}

TEST_F(ExecFailure, Directory) { EXPECT_EQ(reason("/usr"), "/usr is a directory, not a program"); }

TEST_F(ExecFailure, NotARegularFile) {
  EXPECT_EQ(reason("/dev/null"), "/dev/null is not a regular file, so it cannot be executed");
}

TEST_F(ExecFailure, NotExecutable) {
  const std::string path = file("train.sh", "#!/bin/sh\n", 0644);
  EXPECT_EQ(reason(path), path + " is not executable; try: chmod +x " + path);
}

TEST_F(ExecFailure, NoInterpreterLine) {
  const std::string path = file("train", "echo hello\n");
  EXPECT_EQ(reason(path), path + " is neither a program nor a script with a \"#!\" line; add one, such as #!/bin/sh");
}

TEST_F(ExecFailure, EmptyFile) { EXPECT_THAT(reason(file("empty", "")), HasSubstr("neither a program nor a script")); }

TEST_F(ExecFailure, MissingInterpreter) {
  const std::string path = file("train.py", "#! /opt/none/python3 -u\n");
  EXPECT_EQ(reason(path), path + ": the interpreter \"/opt/none/python3\" of its \"#!\" line does not exist");
}

TEST_F(ExecFailure, WindowsLineEnds) {
  const std::string path = file("dos.sh", "#!/bin/sh\r\necho\r\n");
  EXPECT_THAT(reason(path), HasSubstr("ends with a carriage return"));
}

TEST_F(ExecFailure, InterpreterThatIsNoProgram) {
  const std::string interpreter = file("interpreter", "not executable", 0644);
  EXPECT_THAT(reason(file("script", "#!" + interpreter + "\n")), HasSubstr("cannot be executed"));
}

TEST_F(ExecFailure, ProgramOfAnotherMachine) {
  std::string header = read_file(FERRUN_TEST_BIN_DIR "/probe_worker").substr(0, 4096);
  header[18] = '\x16';  // e_machine: S/390
  header[19] = '\0';
  EXPECT_THAT(reason(file("s390", header)), HasSubstr("is built for another kind of machine"));
}

TEST_F(ExecFailure, TooLargeAnEnvironment) {
  SpawnRequest request = harness.request({"exit", "0"});
  for (int index = 0; index < 80; ++index)
    request.environment.set("BIG" + std::to_string(index), std::string(100000, 'x'));
  const Result<pid_t> started = harness.try_start(request, {});
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("larger than the system allows"));
}

TEST_F(ExecFailure, CpusThatDoNotExist) {
  SpawnRequest request = harness.request({"exit", "0"});
  request.cpus = {1023};
  const Result<pid_t> started = harness.try_start(request, {});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().message, "cannot bind a worker to CPUs 1023: Invalid argument");
}

TEST_F(ExecFailure, TooManyOpenFiles) {
  const int first_free = dup(STDIN_FILENO);
  close(first_free);
  rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit tight = {static_cast<rlim_t>(first_free), before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &tight);
  const Result<pid_t> started = harness.try_start(harness.request({"exit", "0"}), {});
  setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().kind, ErrorKind::kPlatform);
  EXPECT_THAT(started.error().message, HasSubstr("too many open files"));
}

}  // namespace
}  // namespace ferrun::testing
