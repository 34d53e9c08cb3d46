// Agents that meet in an etcd of three servers: who coordinates them, and what becomes of the job when that one is
// killed, stands still, or finds no etcd. Real agents, real etcd.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>

#include "tests/e2e/etcd_run.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using namespace std::chrono_literals;

class EtcdJob : public Etcd {
 protected:
  static void SetUpTestSuite() { servers = std::make_unique<EtcdServers>(3); }
  static void TearDownTestSuite() { servers.reset(); }
  void SetUp() override {
    if (!servers->why_not().empty()) GTEST_SKIP() << servers->why_not();
    endpoints = servers->endpoints();
  }

  void expect_all_succeed(std::vector<std::unique_ptr<Program>>& agents) {
    touch("go");
    for (const auto& agent : agents) expect_success(*agent);
  }

  static std::unique_ptr<EtcdServers> servers;
};
std::unique_ptr<EtcdServers> EtcdJob::servers;

TEST_F(EtcdJob, JobsSideBySideLeaveNothing) {
  auto first = meet_all(2, "one");
  auto second = meet("2", "two");
  auto third = meet("2", "two");
  ASSERT_TRUE(eventually_lines("up", 4)) << second->err();
  EXPECT_THAT(servers->ask({"get", "--prefix", "--keys-only", "/ferrun/"}),
              AllOf(HasSubstr("/ferrun/one/seat"), HasSubstr("/ferrun/one/state"), HasSubstr("/ferrun/two/seat")));
  expect_all_succeed(first);
  expect_success(*second);
  expect_success(*third);
  EXPECT_THAT(servers->ask({"get", "--prefix", "--keys-only", "/ferrun/"}), IsEmpty());
}

TEST_F(EtcdJob, AKilledCoordinatorsNodeIsReplaced) {
  auto agents = meet_all(3, "killed");
  const size_t before = coordinator_of(agents);
  kill(agent_of(*agents[before]), SIGKILL);
  agents[before]->wait();
  const auto killed = std::move(agents[before]);
  agents[before] = meet("3", "killed");
  ASSERT_TRUE(eventually_lines("up", 6)) << agents[coordinator_of(agents)]->err();
  EXPECT_THAT(read_file(file("up")), Not(HasSubstr("restart 1")));
  expect_all_succeed(agents);
}

// Of three nodes none has to begin again. Whoever stood still finds that it coordinates nothing, before it says a word
// to anybody.
TEST_F(EtcdJob, AStoppedCoordinatorIsTakenOverFromWhileWorkersRunOn) {
  auto agents = meet_all(3, "stopped");
  const size_t before = coordinator_of(agents);
  const pid_t stopped = agent_of(*agents[before]);
  const auto since = std::chrono::steady_clock::now();
  kill(stopped, SIGSTOP);
  const size_t after = coordinator_of(agents, before);
  EXPECT_LT(std::chrono::steady_clock::now() - since, 10s);  // 3 s where the machine has nothing else to do
  ASSERT_TRUE(agents[3 - before - after]->wait_for_output("the coordinator is back"));
  kill(stopped, SIGCONT);
  ASSERT_TRUE(agents[before]->wait_for_output("this agent coordinates the job no more"));
  ASSERT_TRUE(agents[after]->wait_for_output("all nodes of round 1 are back")) << agents[after]->err();
  EXPECT_EQ(lines_in("up"), 3u);
  expect_all_succeed(agents);
}

TEST_F(EtcdJob, ACoordinatorsNodeThatLeavesLetsTheOthersGoOn) {
  std::vector<std::unique_ptr<Program>> agents;
  for (int i = 0; i < 3; ++i) agents.push_back(meet("2:3", "leaves", {"--rdzv-conf=last_call_timeout=1"}));
  ASSERT_TRUE(eventually_lines("up", 3)) << agents[0]->err();
  const size_t before = coordinator_of(agents);
  kill(agent_of(*agents[before]), SIGTERM);
  ASSERT_TRUE(eventually_lines("up", 5)) << agents[coordinator_of(agents, before)]->err();
  EXPECT_EQ(agents[before]->wait(), ExitStatus::exited(128 + SIGTERM));
  agents.erase(agents.begin() + static_cast<ptrdiff_t>(before));
  expect_all_succeed(agents);
}

TEST_F(EtcdJob, TheServersOwnElectionStopsNobody) {
  auto agents = meet_all(2, "leader");
  const int leader = servers->leader();
  servers->signal(leader, SIGSTOP);
  auto late = meet("2", "late");  // has to be answered by those who are left
  ASSERT_TRUE(late->wait_for_output("this agent coordinates the job:")) << late->err();
  servers->signal(leader, SIGCONT);
  EXPECT_EQ(lines_in("up"), 2u);
  auto other = meet("2", "late");
  ASSERT_TRUE(eventually_lines("up", 4)) << late->err();
  expect_all_succeed(agents);
  expect_success(*late);
  expect_success(*other);
}

TEST_F(EtcdJob, WithoutAQuorumWorkersRunOnAndNoRoundStarts) {
  auto agents = meet_all(2, "quorum");
  for (const int server : {0, 1}) servers->signal(server, SIGSTOP);
  for (const auto& agent : agents) {
    ASSERT_TRUE(agent->wait_for_output("workers run on, and no round starts until it answers")) << agent->err();
  }
  ASSERT_TRUE(agents[coordinator_of(agents)]->wait_for_output("coordinates the job no more"));
  for (const int server : {0, 1}) servers->signal(server, SIGCONT);
  for (const auto& agent : agents) {
    ASSERT_TRUE(agent->wait_for_output("the coordinator is back")) << agent->err();
    EXPECT_THAT(agent->err(), HasSubstr("answers again"));
  }
  EXPECT_EQ(lines_in("up"), 2u);
  expect_all_succeed(agents);
}

}  // namespace
}  // namespace ferrun::testing
