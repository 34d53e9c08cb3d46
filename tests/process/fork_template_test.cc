// Ranks forked from a template: they must be to the agent, and to themselves, what started workers are.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <iterator>
#include <set>

#include "common/fork_protocol.h"
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

class ForkTemplateTest : public ::testing::Test {
 protected:
  void start_template(const std::vector<std::string>& the_actions) {
    actions = the_actions;
    const Status status = harness.start_template(harness.fork_request(actions));
    ASSERT_TRUE(status) << status.error().message;
    ASSERT_TRUE(harness.launcher.template_running());
    ASSERT_THAT(own_children(), SizeIs(1));
    template_pid = own_children()[0];
  }
  void fork_ranks(int count, int attempt = 0) {
    for (int rank = 0; rank < count; ++rank) harness.fork(harness.fork_request(actions, rank, attempt));
  }
  pid_t pid_of(int rank) const { return *harness.forked.at(rank); }

  LauncherHarness harness;
  std::vector<std::string> actions;
  pid_t template_pid = 0;
};

TEST_F(ForkTemplateTest, ForksRanksThatAreTheAgentsOwnChildren) {
  start_template({"ids", "env", "PROBE_LOADED_BY"});
  fork_ranks(2);
  ASSERT_TRUE(harness.run_until_exits(2));
  for (const int rank : {0, 1}) {
    const std::string id = std::to_string(pid_of(rank));
    EXPECT_EQ(harness.output(rank), "pid=" + id + " ppid=" + std::to_string(getpid()) + " pgid=" + id + " sid=" + id +
                                        " pdeathsig=9\nPROBE_LOADED_BY=" + std::to_string(template_pid) + "\n");
  }
}

TEST_F(ForkTemplateTest, ReportsExitCodesAndSignalsOfRanks) {
  start_template({"only-rank", "0", "exit", "9", "only-rank", "1", "raise", "KILL", "only-rank", "2", "raise", "SEGV"});
  fork_ranks(3);
  ASSERT_TRUE(harness.run_until_exits(3));
  for (const Exit& exit : harness.exits) {
    EXPECT_EQ(exit.pid, pid_of(exit.local_rank));
    EXPECT_EQ(exit.status.code(), exit.local_rank == 0 ? 9 : 0);
    EXPECT_EQ(exit.status.signal(), exit.local_rank == 0 ? 0 : exit.local_rank == 1 ? SIGKILL : SIGSEGV);
  }
}

TEST_F(ForkTemplateTest, ReplacesTheWholeEnvironment) {
  start_template({"env-all"});
  SpawnRequest request = harness.fork_request(actions);
  request.environment = Environment();
  request.environment.set("RANK", "0");
  request.environment.set("EMPTY", "");
  request.environment.set("ODD", "a=b c\nd");
  harness.fork(request);
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_EQ(harness.output(), "EMPTY=\nODD=a=b c\nd\nRANK=0\nPROBE_LOADED_BY=" + std::to_string(template_pid) + "\n");
}

TEST_F(ForkTemplateTest, CarriesLargeEnvironments) {
  start_template({"env", "LAST"});
  SpawnRequest request = harness.fork_request(actions);
  for (int index = 0; index < 300; ++index)
    request.environment.set("BIG" + std::to_string(index), std::string(4000, 'x'));
  request.environment.set("LAST", "here");
  harness.fork(request);
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_EQ(harness.output(), "LAST=here\n");
}

TEST_F(ForkTemplateTest, GivesRanksNoDescriptorsAndSignalsOfFerruns) {
  start_template({"fds", "signals"});
  fork_ranks(2);
  ASSERT_TRUE(harness.run_until_exits(2));
  for (const int rank : {0, 1}) {
    // What the program itself catches before its fork point stays as it is.
    EXPECT_THAT(harness.output(rank), StartsWith("0 1 2\nblocked=0000000000000000 ignored=0000000000000000 "));
  }
}

TEST_F(ForkTemplateTest, BindsARankToItsCpus) {
  cpu_set_t mine;
  sched_getaffinity(0, sizeof mine, &mine);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<size_t>(cpu), &mine)) last = cpu;
  }
  start_template({"cpus"});
  SpawnRequest request = harness.fork_request(actions);
  request.cpus = {last};
  harness.fork(request);
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_EQ(harness.output(), std::to_string(last) + "\n");
}

TEST_F(ForkTemplateTest, LetsARankPreferTheMemoryOfItsNode) {
  const NodeMemory memory = read_node_memory("/");
  if (memory.has_policy || !memory.refusal.empty() || memory.nodes.empty()) {
    GTEST_SKIP() << "no memory policy can be set here: " << memory.refusal;
  }
  start_template({"memory-policy"});
  SpawnRequest request = harness.fork_request(actions);
  request.memory_node = memory.nodes.back();
  harness.fork(request);
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_EQ(harness.output(), "prefer " + std::to_string(memory.nodes.back()) + "\n");
}

TEST_F(ForkTemplateTest, SixtyFourRanksInOrderAndWithoutLeaks) {
  start_template({"env", "RANK"});
  const auto descriptors = [] {
    namespace fs = std::filesystem;
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  const auto before = descriptors();
  fork_ranks(64);
  ASSERT_TRUE(harness.run_until_exits(64));
  std::set<pid_t> pids;
  for (int rank = 0; rank < 64; ++rank) {
    EXPECT_EQ(harness.forked_order[static_cast<size_t>(rank)], rank);
    EXPECT_EQ(harness.output(rank), "RANK=" + std::to_string(rank) + "\n");
    pids.insert(pid_of(rank));
  }
  EXPECT_THAT(pids, SizeIs(64));
  EXPECT_EQ(descriptors(), before);
  EXPECT_THAT(own_children(), ElementsAre(template_pid));
}

TEST_F(ForkTemplateTest, ServesEveryAttemptWithOneLoadedProgram) {
  start_template({"env", "TORCHELASTIC_RESTART_COUNT", "env", "PROBE_LOADED_BY", "raise", "KILL"});
  for (int attempt = 0; attempt < 3; ++attempt) {
    fork_ranks(2, attempt);
    ASSERT_TRUE(harness.run_until_exits(static_cast<size_t>(attempt + 1) * 2));
    EXPECT_EQ(harness.exits.back().attempt, attempt);
    harness.sweep();
    EXPECT_TRUE(harness.launcher.template_running());
  }
  const std::string loaded = "PROBE_LOADED_BY=" + std::to_string(template_pid) + "\n";
  EXPECT_EQ(harness.output(1), "TORCHELASTIC_RESTART_COUNT=0\n" + loaded + "TORCHELASTIC_RESTART_COUNT=1\n" + loaded +
                                   "TORCHELASTIC_RESTART_COUNT=2\n" + loaded);
}

TEST_F(ForkTemplateTest, ASweepSparesTheTemplateAlone) {
  start_template({"child", "setsid-double", "forever"});
  fork_ranks(2);
  ASSERT_TRUE(harness.run_until([&] { return harness.marker.processes().size() == 5; }));
  harness.sweep();
  EXPECT_THAT(harness.marker.processes(), ElementsAre(template_pid));
  ASSERT_TRUE(harness.run_until_exits(2));
}

TEST_F(ForkTemplateTest, ASweepTakesForksUnderWayToo) {
  start_template({"forever"});
  fork_ranks(8);
  harness.sweep();  // nothing has been heard of the ranks yet
  EXPECT_THAT(harness.marker.processes(), ElementsAre(template_pid));
  ASSERT_TRUE(harness.run_until_exits(8));
  for (const Exit& exit : harness.exits) EXPECT_EQ(exit.status, ExitStatus::signaled(SIGKILL));
  EXPECT_THAT(harness.forked_order, SizeIs(8)) << "every fork is answered before its end";
}

TEST_F(ForkTemplateTest, SignalsTheGroupOfARank) {
  start_template({"child", "plain", "forever"});
  fork_ranks(1);
  ASSERT_TRUE(harness.run_until([&] { return harness.marker.processes().size() == 3 && harness.forked.contains(0); }));
  harness.launcher.signal_group(pid_of(0), SIGTERM);
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_EQ(harness.exits[0].status, ExitStatus::signaled(SIGTERM));
  EXPECT_TRUE(eventually([&] { return harness.marker.processes().size() == 1; }));
}

TEST_F(ForkTemplateTest, AKilledTemplateIsReportedAndItsRanksRunOn) {
  start_template({"wait-file", harness.directory.file("go"), "exit", "5"});
  fork_ranks(2);
  ASSERT_TRUE(harness.run_until([&] { return harness.forked.size() == 2; }));
  kill(template_pid, SIGKILL);
  ASSERT_TRUE(harness.run_until([&] { return !harness.lost_templates.empty(); }));
  EXPECT_THAT(harness.lost_templates[0], HasSubstr("SIGKILL"));
  EXPECT_FALSE(harness.launcher.template_running());
  harness.fork(harness.fork_request(actions, 7));
  ASSERT_TRUE(harness.run_until([&] { return harness.forked.contains(7); }));
  EXPECT_FALSE(harness.forked.at(7));
  close(open(harness.directory.file("go").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_TRUE(harness.run_until_exits(2));
  EXPECT_EQ(harness.exits[1].status, ExitStatus::exited(5));
}

TEST_F(ForkTemplateTest, ForksUnderWayFailWhenTheTemplateIsKilled) {
  start_template({"exit", "0"});
  kill(template_pid, SIGSTOP);
  fork_ranks(3);
  kill(template_pid, SIGKILL);
  ASSERT_TRUE(harness.run_until([&] { return harness.forked.size() == 3 && !harness.lost_templates.empty(); }));
  for (const auto& [rank, result] : harness.forked) EXPECT_FALSE(result) << rank;
  EXPECT_THAT(own_children(), IsEmpty());
}

TEST_F(ForkTemplateTest, ANewTemplateReplacesALostOne) {
  start_template({"exit", "4"});
  kill(template_pid, SIGKILL);
  ASSERT_TRUE(harness.run_until([&] { return !harness.lost_templates.empty(); }));
  start_template({"exit", "4"});
  fork_ranks(1);
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_EQ(harness.exits[0].status, ExitStatus::exited(4));
}

TEST_F(ForkTemplateTest, ARefusalAfterTheRanksOwnAnswerChangesNothing) {
  SpawnRequest request = harness.fork_request({});
  request.argv = {FERRUN_TEST_BIN_DIR "/late_refusal_probe"};
  ASSERT_TRUE(harness.start_template(request));
  for (const int rank : {0, 1, 2}) {
    request.local_rank = rank;
    harness.fork(request);
    // Its refusal comes while nothing is asked.
    if (rank == 0) {
      ASSERT_TRUE(harness.run_until_exits(1));
    }
  }
  ASSERT_TRUE(harness.run_until_exits(3));
  for (const int rank : {0, 1, 2}) EXPECT_TRUE(harness.forked.at(rank)) << rank;
  EXPECT_THAT(harness.forked_order, ElementsAre(0, 1, 2));
  EXPECT_TRUE(harness.launcher.template_running());
  EXPECT_THAT(harness.lost_templates, IsEmpty());
}

TEST_F(ForkTemplateTest, SaysWhenTheProgramEndsBeforeItsForkPoint) {
  SpawnRequest request = harness.request({"exit", "3"});  // the probe without a fork point
  const Status status = harness.start_template(request);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("before it reached its fork point"));
  EXPECT_THAT(status.error().message, HasSubstr("exited with code 3"));
  EXPECT_THAT(harness.lost_templates, IsEmpty());
}

TEST_F(ForkTemplateTest, SaysWhenTheProgramDoesNotExist) {
  SpawnRequest request = harness.request({});
  request.argv = {"/nonexistent/worker"};
  const Status status = harness.start_template(request);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "program not found: /nonexistent/worker");
}

TEST_F(ForkTemplateTest, ADyingAgentTakesTemplateAndRanksAlong) {
  const std::string up = harness.directory.file("up");
  const pid_t agent = fork();
  if (agent == 0) {
    LauncherHarness inner;
    const SpawnRequest request = harness.fork_request({"touch", up, "forever"});
    if (!inner.start_template(request)) _exit(1);
    inner.fork(request);
    inner.run_until([] { return false; });
    _exit(1);
  }
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(up); }));
  EXPECT_THAT(harness.marker.processes(), SizeIs(2));
  kill(agent, SIGKILL);
  EXPECT_TRUE(eventually([&] { return harness.marker.processes().empty(); }));
}

TEST(ForkTemplate, GivesRanksTheLimitOfOpenFilesThatTheyShallHave) {
  LauncherHarness harness(123);
  const SpawnRequest request = harness.fork_request({"open-files"});
  ASSERT_TRUE(harness.start_template(request));
  harness.fork(request);
  ASSERT_TRUE(harness.run_until_exits(1));
  EXPECT_EQ(harness.output(), "123\n");
}

TEST(ForkPoint, ReturnsAtOnceInAnOrdinaryRun) {
  Program program({FERRUN_TEST_BIN_DIR "/fork_probe_worker", "exit", "6"});
  EXPECT_EQ(program.wait(), ExitStatus::exited(6));
}

TEST(ForkPoint, IgnoresAStaleVariableAndHidesIt) {
  Program program({FERRUN_TEST_BIN_DIR "/fork_probe_worker", "env", kTemplateDescriptorVariable},
                  {.environment = {std::string(kTemplateDescriptorVariable) + "=0"}});
  EXPECT_TRUE(program.wait().success());
  EXPECT_EQ(program.out(), std::string(kTemplateDescriptorVariable) + " unset\n");
}

}  // namespace
}  // namespace ferrun::testing
