// The kill guarantee with a real sentinel, agent, workers and grandchildren: whatever is killed, nothing of the job is
// left.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <random>
#include <thread>

#include "tests/process/denied_calls.h"
#include "tests/process/process_test_support.h"
#include "tests/process/terminal_job.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

const std::vector<std::string> kFamily = {"child", "plain",  "child", "setsid",
                                          "child", "double", "child", "setsid-double"};
constexpr size_t kFamilySize = 5;  // the worker and its grandchildren

std::vector<std::string> agent_command(int workers, std::vector<std::string> actions) {
  std::vector<std::string> command = {FERRUN_TEST_BIN_DIR "/probe_agent", std::to_string(workers)};
  command.insert(command.end(), actions.begin(), actions.end());
  return command;
}

std::vector<std::string> family_forever() {
  std::vector<std::string> actions = {"ignore", "TERM", "ignore", "INT"};
  actions.insert(actions.end(), kFamily.begin(), kFamily.end());
  actions.push_back("forever");
  return actions;
}

class SentinelTest : public ::testing::Test {
 protected:
  ProgramOptions options() const { return {.environment = {marker.variable()}, .own_group = true}; }
  bool eventually_count(size_t processes) {
    return eventually([&] { return marker.processes().size() == processes; });
  }
  bool nothing_left() {
    return eventually([&] { return marker.processes().empty(); });
  }
  pid_t agent_of(const Program& program) {
    EXPECT_TRUE(eventually([&] { return !children_of_process(program.pid()).empty(); }));
    const auto children = children_of_process(program.pid());
    return children.empty() ? 0 : children[0];
  }
  JobMarker marker;
  TemporaryDirectory directory;
};

TEST_F(SentinelTest, EndsAsTheAgentEnded) {
  for (const int code : {0, 1, 2, 77, 255}) {
    Program program(agent_command(1, {"exit", std::to_string(code)}), options());
    EXPECT_EQ(program.wait(), ExitStatus::exited(code));
  }
}

TEST_F(SentinelTest, KilledAgentLeavesNothing) {
  Program program(agent_command(2, family_forever()), options());
  ASSERT_TRUE(eventually_count(2 + 2 * kFamilySize));
  kill(agent_of(program), SIGKILL);
  EXPECT_EQ(program.wait(), ExitStatus::signaled(SIGKILL));
  EXPECT_THAT(marker.processes(), IsEmpty()) << "the sentinel ended before the job was gone";
  EXPECT_THAT(program.err(), HasSubstr("was killed by SIGKILL"));
}

TEST_F(SentinelTest, KilledSentinelLeavesNothing) {
  Program program(agent_command(2, family_forever()), options());
  ASSERT_TRUE(eventually_count(2 + 2 * kFamilySize));
  program.signal(SIGKILL);
  EXPECT_TRUE(nothing_left());
}

TEST_F(SentinelTest, KilledProcessGroupLeavesNothing) {
  Program program(agent_command(2, family_forever()), options());
  ASSERT_TRUE(eventually_count(2 + 2 * kFamilySize));
  kill(-program.pid(), SIGKILL);  // a shell's `kill -9 %job`
  EXPECT_TRUE(nothing_left());
}

TEST_F(SentinelTest, StoppedAgentStillSeesItsSentinelDie) {
  Program program(agent_command(1, family_forever()), options());
  ASSERT_TRUE(eventually_count(2 + kFamilySize));
  const pid_t agent = agent_of(program);
  kill(agent, SIGSTOP);
  ASSERT_TRUE(eventually([&] { return process_state(agent) == 'T'; }));
  program.signal(SIGKILL);
  EXPECT_TRUE(nothing_left());
}

// Kills at moments that nobody chose: during the fork, the start of workers, the birth of grandchildren, and later.
TEST_F(SentinelTest, KilledAtRandomMomentsLeavesNothing) {
  std::mt19937 random(20240501);
  for (int round = 0; round < 40; ++round) {
    const bool kill_agent = round % 2 == 0;
    std::vector<std::string> actions = family_forever();
    Program program(agent_command(1 + round % 3, actions), options());
    pid_t victim = program.pid();
    if (kill_agent) victim = agent_of(program);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 30000));
    kill(victim, SIGKILL);
    program.wait();  // until the last holder of the pipes is gone as well
    ASSERT_TRUE(nothing_left()) << "round " << round << ", killed the " << (kill_agent ? "agent" : "sentinel");
  }
}

TEST_F(SentinelTest, ReapsWhatTheAgentLeavesBehindAtANormalEnd) {
  Program program(agent_command(1, {"child", "setsid-double", "exit", "3"}), options());
  EXPECT_EQ(program.wait(), ExitStatus::exited(3));
  EXPECT_THAT(marker.processes(), IsEmpty());
}

TEST_F(SentinelTest, ForwardsSignalsAndReportsTheAgentsAnswer) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const std::string up = directory.file("up" + std::to_string(signal));
    Program program(agent_command(1, {"touch", up, "forever"}), options());
    ASSERT_TRUE(eventually([&] { return std::filesystem::exists(up); }));
    program.signal(signal);
    EXPECT_EQ(program.wait(), ExitStatus::exited(128 + signal));
    EXPECT_THAT(marker.processes(), IsEmpty());
  }
}

TEST_F(SentinelTest, SignalsThatTheAgentDoesNotCatchEndBothAlike) {
  const std::string up = directory.file("up");
  Program program(agent_command(1, {"touch", up, "forever"}), options());
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(up); }));
  program.signal(SIGALRM);
  EXPECT_EQ(program.wait(), ExitStatus::signaled(SIGALRM));
  EXPECT_EQ(program.err(), "") << "the user knows who sent it";
  EXPECT_THAT(marker.processes(), IsEmpty());
}

TEST_F(SentinelTest, TheAgentTellsItsOwnSignalsFromThoseOfTheSentinel) {
  ProgramOptions talkative = options();
  talkative.environment.push_back("PROBE_SIGNALS=1");
  const std::string up = directory.file("up"), go = directory.file("go");
  Program program(agent_command(1, {"touch", up, "wait-file", go, "signals", "exit", "4"}), talkative);
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(up); }));
  const pid_t agent = agent_of(program);
  for (const int signal : {SIGUSR1, SIGUSR2, SIGHUP}) {
    program.signal(signal);
    EXPECT_TRUE(program.wait_for_output(signal_name(signal) + " from the sentinel\n")) << program.err();
    kill(agent, signal);
    EXPECT_TRUE(program.wait_for_output(signal_name(signal) + " directly\n")) << program.err();
  }
  close(open(go.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  EXPECT_EQ(program.wait(), ExitStatus::exited(4));
  EXPECT_THAT(program.out(), HasSubstr("blocked=0000000000000000 ignored=0000000000000000")) << "of the worker";
}

TEST_F(SentinelTest, SignalsOfTheFirstMomentsArriveToo) {
  for (int round = 0; round < 20; ++round) {
    Program program(agent_command(1, {"forever"}), options());
    agent_of(program);
    program.signal(SIGUSR1);  // would end what does not expect it
    program.signal(SIGTERM);
    EXPECT_EQ(program.wait(), ExitStatus::exited(128 + SIGTERM));
  }
}

TEST_F(SentinelTest, HangupsIgnoredUnderNohupAreIgnoredByTheAgentAsWell) {
  ProgramOptions nohup = options();
  nohup.environment.push_back("PROBE_SIGNALS=1");
  nohup.in_child = [] { signal(SIGHUP, SIG_IGN); };
  const std::string up = directory.file("up"), go = directory.file("go");
  Program program(agent_command(1, {"touch", up, "wait-file", go, "exit", "4"}), nohup);
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(up); }));
  kill(agent_of(program), SIGHUP);
  kill(agent_of(program), SIGUSR1);
  EXPECT_TRUE(program.wait_for_output("SIGUSR1 directly"));
  close(open(go.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  EXPECT_EQ(program.wait(), ExitStatus::exited(4));
  EXPECT_THAT(program.err(), Not(HasSubstr("SIGHUP")));
}

TEST_F(SentinelTest, LeavesIgnoredHangupsIgnored) {
  ProgramOptions nohup = options();
  nohup.in_child = [] { signal(SIGHUP, SIG_IGN); };
  const std::string up = directory.file("up"), go = directory.file("go");
  Program program(agent_command(1, {"touch", up, "wait-file", go, "exit", "4"}), nohup);
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(up); }));
  program.signal(SIGHUP);
  close(open(go.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  EXPECT_EQ(program.wait(), ExitStatus::exited(4));
}

TEST_F(SentinelTest, ObeysAnInterruptSentToABackgroundJobOfAScript) {
  ProgramOptions background = options();
  background.in_child = [] { signal(SIGINT, SIG_IGN); };  // as a shell without job control starts `command &`
  const std::string up = directory.file("up");
  Program program(agent_command(1, {"touch", up, "forever"}), background);
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(up); }));
  program.signal(SIGINT);
  EXPECT_EQ(program.wait(), ExitStatus::exited(128 + SIGINT));
}

// --------------------------------------------------------------------------------------------- what was there before

std::vector<std::string> bash_that_becomes(const std::vector<std::string>& command, const std::string& script) {
  std::vector<std::string> bash = {"bash", "-c", script + "\nexec \"$@\"", "bash"};
  bash.insert(bash.end(), command.begin(), command.end());
  return bash;
}

TEST_F(SentinelTest, TheShellsOwnLogReaderReadsToTheEnd) {
  const std::string log = directory.file("log");
  const std::string reader = "exec > >(while read -r line; do sleep 0.01; echo \"$line\" >> '" + log +
                             "'; done; echo end >> '" + log + "') 2>&1";
  Program program(bash_that_becomes(agent_command(1, {"flood-out", "20", "12", "exit", "3"}), reader), options());
  EXPECT_EQ(program.wait(), ExitStatus::exited(3));
  ASSERT_TRUE(eventually([&] { return read_file(log).ends_with("end\n"); })) << read_file(log);
  EXPECT_THAT(read_file(log), HasSubstr("0000000019"));
}

TEST_F(SentinelTest, ProcessesThatWereThereBeforeAreNeitherKilledNorWaitedFor) {
  const std::string before = "sleep 1000 < /dev/null > /dev/null 2>&1 &";
  for (const bool kill_agent : {false, true}) {
    const std::string up = directory.file(kill_agent ? "up1" : "up0");
    std::vector<std::string> actions = {"child", "setsid-double", "touch", up};
    for (const char* last : kill_agent ? std::vector{"forever"} : std::vector{"exit", "4"}) actions.push_back(last);
    Program program(bash_that_becomes(agent_command(1, actions), before), options());
    ASSERT_TRUE(eventually([&] { return std::filesystem::exists(up); }));
    if (kill_agent) {
      const auto children = children_of_process(program.pid());
      ASSERT_THAT(children, SizeIs(2));
      kill(children[1], SIGKILL);
    }
    EXPECT_EQ(program.wait(), kill_agent ? ExitStatus::signaled(SIGKILL) : ExitStatus::exited(4));
    ASSERT_THAT(marker.processes(), SizeIs(1));
    EXPECT_EQ(read_file("/proc/" + std::to_string(marker.processes()[0]) + "/comm"), "sleep\n");
    kill(marker.processes()[0], SIGKILL);
    ASSERT_TRUE(nothing_left());
  }
}

// ------------------------------------------------------------------------------------------ old and locked-down
// kernels

TEST_F(SentinelTest, NeedsNoPidfdsAndNoSignalfd) {
  for (const int error : {EPERM, ENOSYS}) {
    ProgramOptions denied = options();
    denied.in_child = [error] {
      if (!deny_calls({SYS_pidfd_open, SYS_pidfd_send_signal, SYS_signalfd4, SYS_timerfd_create}, error)) _exit(126);
    };
    for (const bool kill_agent : {true, false}) {
      Program program(agent_command(1, family_forever()), denied);
      ASSERT_TRUE(eventually_count(2 + kFamilySize)) << program.err();
      kill(kill_agent ? agent_of(program) : program.pid(), SIGKILL);
      program.wait();
      EXPECT_TRUE(nothing_left());
    }
    Program program(agent_command(1, {"forever"}), denied);
    ASSERT_TRUE(eventually_count(3));
    kill(agent_of(program), SIGTERM);
    EXPECT_EQ(program.wait(), ExitStatus::exited(128 + SIGTERM)) << program.err();
  }
}

TEST_F(SentinelTest, NeedsNoProc) {
  const std::vector<std::string> without = command_without_proc();
  if (without.empty()) GTEST_SKIP() << "a mount namespace (unshare -m, mount) is not permitted here";
  for (const std::string before : {"", "sleep 1000 < /dev/null > /dev/null 2>&1 &"}) {
    const size_t kept = before.empty() ? 0 : 1;
    std::vector<std::string> command = without;
    for (const std::string& part : bash_that_becomes(agent_command(2, family_forever()), before))
      command.push_back(part);
    Program program(command, options());
    ASSERT_TRUE(eventually_count(kept + 2 + 2 * kFamilySize));
    const auto children = children_of_process(program.pid());
    ASSERT_THAT(children, SizeIs(kept + 1));
    kill(children[kept], SIGKILL);
    EXPECT_EQ(program.wait(), ExitStatus::signaled(SIGKILL));
    ASSERT_THAT(marker.processes(), SizeIs(kept));
    for (const pid_t left : marker.processes()) kill(left, SIGKILL);
  }
}

TEST_F(SentinelTest, WorksWithIgnoredChildSignalsAndClosedStreams) {
  ProgramOptions odd = options();
  odd.in_child = [] {
    signal(SIGCHLD, SIG_IGN);
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
  };
  Program program(agent_command(2, {"fds", "exit", "5"}), odd);
  EXPECT_EQ(program.wait(), ExitStatus::exited(5));
}

TEST_F(SentinelTest, AgentHasItsOwnGroupAndTheSentinelAnotherName) {
  const std::string up = directory.file("up");
  Program program(agent_command(1, {"touch", up, "forever"}), options());
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(up); }));
  const pid_t agent = agent_of(program);
  EXPECT_EQ(getpgid(agent), agent);
  EXPECT_EQ(getpgid(program.pid()), program.pid());
  EXPECT_EQ(getsid(agent), getsid(program.pid()));
  // It takes its name after the fork, while the agent is already at work.
  EXPECT_TRUE(
      eventually([&] { return read_file("/proc/" + std::to_string(program.pid()) + "/comm") == "sentinel\n"; }));
  EXPECT_EQ(read_file("/proc/" + std::to_string(agent) + "/comm"), "probe_agent\n");
}

// ------------------------------------------------------------------------------------------------- on a terminal

using OnATerminal = SentinelTest;

TEST_F(OnATerminal, ControlCReachesTheAgentThroughTheSentinel) {
  const std::string up = directory.file("up");
  TerminalJob job(agent_command(1, {"touch", up, "forever"}), {.environment = {marker.variable(), "PROBE_SIGNALS=1"}});
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(up); }));
  job.press('\x03');
  const int status = job.next_status();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGINT) << status;
  EXPECT_TRUE(job.wait_for_screen("SIGINT from the sentinel, by the terminal")) << job.screen();
  EXPECT_THAT(marker.processes(), IsEmpty());
}

TEST_F(OnATerminal, ControlZSuspendsTheWholeJobAndFgContinuesIt) {
  const std::string up = directory.file("up"), go = directory.file("go");
  TerminalJob job(agent_command(1, {"child", "setsid", "pid", up, "wait-file", go, "exit", "6"}),
                  {.environment = {marker.variable()}});
  const pid_t worker = pid_from_file(up);
  job.press('\x1a');
  const int stop = job.next_status();
  ASSERT_TRUE(WIFSTOPPED(stop)) << stop;
  EXPECT_EQ(WSTOPSIG(stop), SIGTSTP);
  EXPECT_TRUE(eventually([&] { return process_state(worker) == 'T'; })) << "the worker runs on";
  close(open(go.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  job.continue_in_foreground();
  const int status = job.next_status();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 6) << status;
}

TEST_F(OnATerminal, ASuspendedJobCanStillBeKilledWhole) {
  const std::string up = directory.file("up");
  TerminalJob job(agent_command(1, family_forever()), {.environment = {marker.variable()}});
  ASSERT_TRUE(eventually_count(2 + kFamilySize));
  job.press('\x1a');
  ASSERT_TRUE(WIFSTOPPED(job.next_status()));
  kill(job.pid(), SIGKILL);
  EXPECT_TRUE(nothing_left());
}

TEST_F(OnATerminal, TheAgentWritesAlthoughTheTerminalStopsBackgroundWriters) {
  TerminalJob job(agent_command(1, {"exit", "7"}),
                  {.environment = {marker.variable(), "PROBE_REPORT=1"}, .stop_background_writers = true});
  const int status = job.next_status();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
  EXPECT_TRUE(job.wait_for_screen("a worker exited with code 7")) << job.screen();
}

// ------------------------------------------------------------------------------------------------- other users,
// containers

TEST_F(SentinelTest, NeedsNoPrivileges) {
  if (getuid() != 0)
    GTEST_SKIP() << "this test is about root starting it as nobody; the others already run unprivileged";
  const passwd* nobody = getpwnam("nobody");
  ASSERT_NE(nobody, nullptr);
  ProgramOptions unprivileged = options();
  // The build tree may lie under a home folder that nobody may enter: copies of the probes lie where everybody may.
  const std::filesystem::path copies = directory.path();
  std::filesystem::permissions(copies, std::filesystem::perms::all);
  for (const char* program : {"probe_agent", "probe_worker"}) {
    std::filesystem::copy_file(std::filesystem::path(FERRUN_TEST_BIN_DIR) / program, copies / program);
  }
  unprivileged.environment.push_back("PROBE_WORKER=" + std::string(copies / "probe_worker"));
  unprivileged.in_child = [nobody, copies] {
    if (chdir(copies.c_str()) != 0 || setgid(nobody->pw_gid) != 0 || setuid(nobody->pw_uid) != 0) _exit(126);
  };
  std::vector<std::string> command = agent_command(2, family_forever());
  command[0] = copies / "probe_agent";
  for (const bool kill_agent : {true, false}) {
    Program program(command, unprivileged);
    ASSERT_TRUE(eventually_count(2 + 2 * kFamilySize));
    kill(kill_agent ? agent_of(program) : program.pid(), SIGKILL);
    program.wait();
    EXPECT_TRUE(nothing_left());
  }
}

TEST_F(SentinelTest, IsAGoodFirstProcessOfAContainer) {
  std::vector<std::string> command = container_command();
  if (command.empty()) GTEST_SKIP() << "PID namespaces (unshare -pf --mount-proc) are not permitted here";
  for (const std::string& part : agent_command(1, {"child", "setsid-double", "exit", "9"})) command.push_back(part);
  Program program(command, options());
  EXPECT_EQ(program.wait(), ExitStatus::exited(9));
  EXPECT_THAT(marker.processes(), IsEmpty());
}

TEST_F(SentinelTest, AsFirstProcessStopsWhenAsked) {
  std::vector<std::string> command = container_command();
  if (command.empty()) GTEST_SKIP() << "PID namespaces (unshare -pf --mount-proc) are not permitted here";
  const std::string up = directory.file("up");
  for (const std::string& part : agent_command(1, {"touch", up, "forever"})) command.push_back(part);
  Program program(command, options());
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(up); }));
  const pid_t first = children_of_process(program.pid()).at(0);
  kill(first, SIGTERM);  // docker stop
  EXPECT_EQ(program.wait(), ExitStatus::exited(128 + SIGTERM));
  EXPECT_THAT(marker.processes(), IsEmpty());
}

}  // namespace
}  // namespace ferrun::testing
