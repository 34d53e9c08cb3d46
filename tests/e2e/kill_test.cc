// The kill guarantee of the real program: whatever is killed, stopped or interrupted, no process of the job is left,
// and the user's shell sees why it ended. Workers ignore every polite signal and have grandchildren of every kind.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "tests/process/process_test_support.h"
#include "tests/process/terminal_job.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr size_t kFamilySize = 5;  // a worker and its grandchildren
constexpr size_t kPair = 2;        // sentinel and agent

std::vector<std::string> operator+(std::vector<std::string> left, const std::vector<std::string>& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

// Deaf to all that can be ignored.
const std::vector<std::string> kStubbornFamily = {"ignore", "TERM",   "ignore", "INT",           "ignore",
                                                  "HUP",    "child",  "plain",  "child",         "setsid",
                                                  "child",  "double", "child",  "setsid-double", "forever"};

class Kill : public ::testing::TestWithParam<std::string> {
 protected:
  std::vector<std::string> ferrun(const std::vector<std::string>& options,
                                  const std::vector<std::string>& actions) const {
    return std::vector<std::string>{FERRUN_BIN_DIR "/ferrun", "--log-dir", directory.file("logs"), "--start-method",
                                    GetParam()} +
           options + std::vector<std::string>{FERRUN_TEST_BIN_DIR "/fork_probe_worker"} + actions;
  }
  ProgramOptions as_shell_job() const { return {.environment = {marker.variable()}, .own_group = true}; }
  TerminalOptions on_terminal() const { return {.environment = {marker.variable()}}; }
  // Sentinel, agent, template and `workers` families.
  size_t whole_job(size_t workers) const { return kPair + (GetParam() == "spawn" ? 0 : 1) + workers * kFamilySize; }
  bool eventually_count(size_t processes) {
    return eventually([&] { return marker.processes().size() == processes; });
  }
  bool nothing_left() { return eventually_count(0); }
  static pid_t agent_below(pid_t sentinel) {
    EXPECT_TRUE(eventually([&] { return !children_of_process(sentinel).empty(); }));
    const auto children = children_of_process(sentinel);
    return children.empty() ? 0 : children[0];
  }
  static void touch(const std::string& path) { close(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)); }
  static bool exists(const std::string& path) { return std::filesystem::exists(path); }

  JobMarker marker;
  TemporaryDirectory directory;
};

INSTANTIATE_TEST_SUITE_P(StartMethods, Kill, ::testing::Values("spawn", "fork", "forkserver"),
                         [](const auto& method) { return method.param; });

TEST_P(Kill, OfTheAgentLeavesNothing) {
  Program job(ferrun({"--nproc-per-node", "2"}, kStubbornFamily), as_shell_job());
  ASSERT_TRUE(eventually_count(whole_job(2)));
  kill(agent_below(job.pid()), SIGKILL);
  EXPECT_EQ(job.wait(), ExitStatus::signaled(SIGKILL));
  EXPECT_THAT(marker.processes(), IsEmpty()) << "ferrun ended before its job";
  EXPECT_THAT(job.err(), HasSubstr("was killed by SIGKILL"));
}

TEST_P(Kill, OfTheSentinelLeavesNothing) {
  Program job(ferrun({"--nproc-per-node", "2"}, kStubbornFamily), as_shell_job());
  ASSERT_TRUE(eventually_count(whole_job(2)));
  job.signal(SIGKILL);
  EXPECT_TRUE(nothing_left());
}

TEST_P(Kill, OfTheShellsJobLeavesNothing) {
  Program job(ferrun({"--nproc-per-node", "2"}, kStubbornFamily), as_shell_job());
  ASSERT_TRUE(eventually_count(whole_job(2)));
  kill(-job.pid(), SIGKILL);  // kill -9 %1
  EXPECT_TRUE(nothing_left());
}

// FERRUN_STORM_KILLS and FERRUN_STORM_SEED say how often, and which moments.
TEST_P(Kill, AtMomentsThatNobodyChoseLeavesNothing) {
  const char* const asked = std::getenv("FERRUN_STORM_KILLS");
  const char* const asked_seed = std::getenv("FERRUN_STORM_SEED");
  const int rounds = asked != nullptr ? std::atoi(asked) : 20;
  const auto seed = asked_seed != nullptr ? static_cast<uint32_t>(std::strtoul(asked_seed, nullptr, 10)) : uint32_t{1};
  SCOPED_TRACE("FERRUN_STORM_SEED=" + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < rounds; ++round) {
    const bool kill_agent = round % 2 == 0;
    Program job(ferrun({"--nproc-per-node", std::to_string(1 + round % 3)}, kStubbornFamily), as_shell_job());
    const pid_t victim = kill_agent ? agent_below(job.pid()) : job.pid();
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 40000));
    kill(victim, SIGKILL);
    job.wait();
    ASSERT_TRUE(nothing_left()) << "round " << round << ", killed the " << (kill_agent ? "agent" : "sentinel");
  }
}

TEST_P(Kill, AStopEndsDeafWorkersAfterTheGrace) {
  Program job(ferrun({"--nproc-per-node", "2", "--shutdown-timeout", "1"}, kStubbornFamily), as_shell_job());
  ASSERT_TRUE(eventually_count(whole_job(2)));
  job.signal(SIGTERM);
  EXPECT_EQ(job.wait(), ExitStatus::exited(128 + SIGTERM));
  EXPECT_THAT(marker.processes(), IsEmpty());
}

// The grace is far above the limit of every wait here: a Ctrl-C that did nothing would fail the test.
TEST_P(Kill, CtrlCPressedAgainMeansNow) {
  Program job(ferrun({"--nproc-per-node", "2", "--shutdown-timeout", "3600"}, kStubbornFamily), as_shell_job());
  ASSERT_TRUE(eventually_count(whole_job(2)));
  job.signal(SIGINT);
  ASSERT_TRUE(job.wait_for_output("got SIGINT"));
  ASSERT_TRUE(eventually([&] {
    job.signal(SIGINT);  // within a second it is the same order
    return marker.processes().empty();
  }));
  EXPECT_EQ(job.wait(), ExitStatus::exited(128 + SIGINT));
  EXPECT_THAT(marker.processes(), IsEmpty());
}

TEST_P(Kill, AFailedWorkerTakesDeafOnesAlong) {
  const std::string go = directory.file("go");
  const std::vector<std::string> actions =
      std::vector<std::string>{"only-rank", "1", "wait-file", go, "only-rank", "1", "exit", "42"} + kStubbornFamily;
  Program job(ferrun({"--nproc-per-node", "2", "--shutdown-timeout", "1"}, actions), as_shell_job());
  ASSERT_TRUE(eventually_count(whole_job(1) + 1));
  touch(go);
  EXPECT_EQ(job.wait(), ExitStatus::exited(42));
  EXPECT_THAT(marker.processes(), IsEmpty());
}

// The agent is held while both workers fail, and so notices the two ends together.
TEST_P(Kill, AWorkerThatFailedByItselfIsNoVictim) {
  const std::string go = directory.file("go");
  const std::vector<std::string> actions = {"only-rank", "0", "touch", directory.file("up0"),
                                            "only-rank", "1", "touch", directory.file("up1"),
                                            "wait-file", go,  "exit",  "3"};
  Program job(ferrun({"--nproc-per-node", "2"}, actions), as_shell_job());
  const pid_t agent = agent_below(job.pid());
  ASSERT_TRUE(eventually([&] { return exists(directory.file("up0")) && exists(directory.file("up1")); }));
  kill(agent, SIGSTOP);
  touch(go);
  ASSERT_TRUE(eventually([&] {
    const std::vector<pid_t> children = children_of_process(agent);
    return std::ranges::count_if(children, is_whole_zombie) == 2;
  }));
  kill(agent, SIGCONT);
  EXPECT_EQ(job.wait(), ExitStatus::exited(3));
  EXPECT_THAT(job.err(), AllOf(HasSubstr("Failed as well:\n"), Not(HasSubstr("Stopped by ferrun"))));
}

TEST_P(Kill, NothingOfAnEarlierAttemptSurvivesIntoTheNext) {
  const std::string second = directory.file("second"), go = directory.file("go");
  const std::vector<std::string> actions = {
      "only-attempt", "1", "touch", second,          "only-attempt", "1", "wait-file", go,     "only-attempt", "1",
      "exit",         "0", "child", "setsid-double", "only-rank",    "0", "raise",     "SEGV", "forever"};
  Program job(ferrun({"--nproc-per-node", "2", "--max-restarts", "1", "--shutdown-timeout", "1"}, actions),
              as_shell_job());
  ASSERT_TRUE(eventually([&] { return exists(second); }));
  EXPECT_TRUE(eventually_count(whole_job(0) + 2)) << "two workers of the second attempt, and nothing else";
  touch(go);
  EXPECT_EQ(job.wait(), ExitStatus::exited(0)) << job.err();
}

TEST_P(Kill, ControlCStopsTheJobAndTellsTheShell) {
  const std::string up = directory.file("up");
  TerminalJob job(ferrun({}, {"touch", up, "forever"}), on_terminal());
  ASSERT_TRUE(eventually([&] { return exists(up); }));
  job.press('\x03');
  const int status = job.next_status();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGINT) << status;
  EXPECT_THAT(marker.processes(), IsEmpty());
}

TEST_P(Kill, ControlZSuspendsTheWholeJob) {
  const std::string up = directory.file("up"), go = directory.file("go");
  TerminalJob job(ferrun({}, {"pid", up, "wait-file", go, "exit", "5"}), on_terminal());
  const pid_t worker = pid_from_file(up);
  job.press('\x1a');
  ASSERT_TRUE(WIFSTOPPED(job.next_status()));
  EXPECT_TRUE(eventually([&] { return process_state(worker) == 'T'; }));
  touch(go);
  job.continue_in_foreground();
  const int status = job.next_status();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 5) << status << job.screen();
}

// ^S: the terminal takes nothing any more. A failure must still be seen and acted upon, and every line be in the files.
TEST_P(Kill, AStoppedTerminalDelaysNeitherFailureNorLogs) {
  const std::string up = directory.file("up"), go = directory.file("go"), first_done = directory.file("first_done");
  // Rank 1 fails only after both ranks have written all that they have to write.
  TerminalJob job(
      ferrun({"--nproc-per-node", "2", "--tee", "3"},
             {"only-rank", "0",         "touch",     up,          "wait-file", go,         "flood-out",
              "2000",      "100",       "only-rank", "0",         "touch",     first_done, "only-rank",
              "1",         "wait-file", first_done,  "only-rank", "1",         "touch",    directory.file("flooded"),
              "only-rank", "1",         "exit",      "9",         "forever"}),
      on_terminal());
  ASSERT_TRUE(eventually([&] { return exists(up); }));
  job.press('\x13');
  touch(go);
  EXPECT_TRUE(eventually([&] { return exists(directory.file("flooded")); })) << "a worker waits for the terminal";
  EXPECT_TRUE(eventually([&] { return marker.processes().size() <= whole_job(0); })) << "the workers were not stopped";
  job.press('\x11');
  const int status = job.next_status();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 9) << status;
  size_t last_lines = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.file("logs"))) {
    if (entry.path().filename() == "stdout.log")
      last_lines += read_file(entry.path()).find("0000001999 ") != std::string::npos;
  }
  EXPECT_EQ(last_lines, 2U) << "a log file is not complete";
}

TEST_P(Kill, OfTheAgentOnAStoppedTerminalLeavesNothing) {
  TerminalJob job(ferrun({"--nproc-per-node", "2", "--tee", "3"}, kStubbornFamily), on_terminal());
  ASSERT_TRUE(eventually_count(whole_job(2)));
  job.press('\x13');
  kill(agent_below(job.pid()), SIGKILL);
  const int status = job.next_status(false);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  EXPECT_THAT(marker.processes(), IsEmpty());
}

TEST_P(Kill, InAContainerFerrunIsAGoodFirstProcess) {
  const std::vector<std::string> container = container_command();
  if (container.empty()) GTEST_SKIP() << "PID namespaces (unshare -pf --mount-proc) are not permitted here";
  Program ended(
      container + ferrun({"--nproc-per-node", "2"}, {"child", "setsid-double", "only-rank", "1", "exit", "9"}),
      as_shell_job());
  EXPECT_EQ(ended.wait(), ExitStatus::exited(9)) << ended.err();
  EXPECT_THAT(marker.processes(), IsEmpty());

  const std::string up = directory.file("up");
  Program stopped(container + ferrun({}, {"touch", up, "forever"}), as_shell_job());
  ASSERT_TRUE(eventually([&] { return exists(up); }));
  kill(children_of_process(stopped.pid()).at(0), SIGTERM);  // docker stop
  EXPECT_EQ(stopped.wait(), ExitStatus::exited(128 + SIGTERM)) << stopped.err();
  EXPECT_THAT(marker.processes(), IsEmpty());
}

TEST_P(Kill, NeedsNoPrivileges) {
  const passwd* nobody = getpwnam("nobody");
  if (getuid() != 0 || nobody == nullptr)
    GTEST_SKIP() << "only root can start it as nobody; the other tests run unprivileged";
  namespace fs = std::filesystem;
  fs::permissions(directory.path(), fs::perms::all);
  // Copies, because the build tree may lie where nobody may not go.
  fs::copy_file(FERRUN_BIN_DIR "/ferrun", directory.file("ferrun"));
  fs::copy_file(FERRUN_TEST_BIN_DIR "/fork_probe_worker", directory.file("probe"));
  ProgramOptions unprivileged = as_shell_job();
  unprivileged.in_child = [nobody, this] {
    if (chdir(directory.path().c_str()) != 0 || setgid(nobody->pw_gid) != 0 || setuid(nobody->pw_uid) != 0) _exit(126);
  };
  for (const bool kill_agent : {true, false}) {
    Program job(std::vector<std::string>{directory.file("ferrun"), "--start-method", GetParam(), "--nproc-per-node",
                                         "2", directory.file("probe")} +
                    kStubbornFamily,
                unprivileged);
    ASSERT_TRUE(eventually_count(whole_job(2)));
    kill(kill_agent ? agent_below(job.pid()) : job.pid(), SIGKILL);
    job.wait();
    EXPECT_TRUE(nothing_left());
  }
}

TEST_P(Kill, EveryExitCodeOfAWorkerIsFerruns) {
  for (int code = GetParam() == "spawn" ? 0 : 250; code <= 255; ++code) {
    Program job(ferrun({}, {"exit", std::to_string(code)}), as_shell_job());
    ASSERT_EQ(job.wait(), ExitStatus::exited(code)) << job.err();
  }
}

using KillForked = Kill;
INSTANTIATE_TEST_SUITE_P(StartMethods, KillForked, ::testing::Values("fork", "forkserver"),
                         [](const auto& method) { return method.param; });

// Started before any rank.
pid_t template_below(pid_t agent) {
  const auto children = children_of_process(agent);
  return children.empty() ? 0 : *std::ranges::min_element(children);
}

TEST_P(KillForked, ALostTemplateDoesNotEndTheJob) {
  const std::string up = directory.file("up"), go = directory.file("go");
  const std::vector<std::string> actions = {"only-attempt", "0", "touch", up,  "only-attempt", "0", "wait-file", go,
                                            "only-attempt", "0", "exit",  "3", "exit",         "0"};
  Program job(ferrun({"--nproc-per-node", "1", "--max-restarts", "1"}, actions), as_shell_job());
  ASSERT_TRUE(eventually([&] { return exists(up); }));
  kill(template_below(agent_below(job.pid())), SIGKILL);
  touch(go);
  EXPECT_EQ(job.wait(), ExitStatus::exited(0)) << job.err();
}

// It is asked for the next attempt's rank, and dies before it has forked it.
TEST_P(KillForked, ATemplateThatDiesWhileItForksCostsNoAttempt) {
  const std::string up = directory.file("up"), go = directory.file("go");
  const std::vector<std::string> actions = {"only-attempt", "0", "touch", up,  "only-attempt", "0", "wait-file", go,
                                            "only-attempt", "0", "exit",  "3", "exit",         "0"};
  Program job(ferrun({"--verbose", "--nproc-per-node", "1", "--max-restarts", "1"}, actions), as_shell_job());
  ASSERT_TRUE(eventually([&] { return exists(up); }));
  const pid_t fork_template = template_below(agent_below(job.pid()));
  kill(fork_template, SIGSTOP);
  touch(go);
  ASSERT_TRUE(job.wait_for_output("round 2")) << job.err();
  kill(fork_template, SIGKILL);
  EXPECT_EQ(job.wait(), ExitStatus::exited(0)) << job.err();
}

}  // namespace
}  // namespace ferrun::testing
