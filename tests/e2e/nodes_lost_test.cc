// What becomes of a job with several nodes when agents and coordinators are lost: real agents on this machine, killed
// in every role.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "rendezvous/coordinator/coordinator_state_codec.h"
#include "tests/e2e/nodes_run.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Clock = std::chrono::steady_clock;

class NodesLost : public WaitingNodes {};

TEST_F(NodesLost, SurvivorsOfAnElasticJobGoOnAtOnce) {
  const Words options = {"--min-uptime=0", "--rdzv-conf=last_call_timeout=600"};
  const auto first = coordinating_agent("2:3", options);
  const auto second = waiting_agent("2:3", options);
  const auto third = waiting_agent("2:3", options);
  ASSERT_TRUE(eventually_lines("up", 3));
  const auto killed = Clock::now();
  kill(agent_of(*third), SIGKILL);
  ASSERT_TRUE(eventually_lines("up", 5)) << first->err() << second->err();
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - killed);
  RecordProperty("milliseconds_to_the_next_round", static_cast<int>(took.count()));
  EXPECT_EQ(third->wait(), ExitStatus::signaled(SIGKILL));
  touch("go");
  expect_success(*first);
  expect_success(*second);
  EXPECT_THAT(first->err(), HasSubstr("round 2 starts on 2 nodes"));
}

TEST_F(NodesLost, AStoppedNodeIsLeftBehindWhenItsLeaseIsOverAndComesBackLater) {
  const Words options = {"--min-uptime=0", "--scale-interval=0",
                         "--rdzv-conf=keep_alive_interval=0.3,last_call_timeout=600"};
  const auto first = coordinating_agent("1:2", options);
  const auto second = waiting_agent("1:2", options);
  ASSERT_TRUE(eventually_lines("up", 2));
  const pid_t agent = agent_of(*second);
  kill(agent, SIGSTOP);
  ASSERT_TRUE(eventually_up("0 of 1")) << first->err();
  kill(agent, SIGCONT);
  ASSERT_TRUE(eventually_lines("up", 5)) << first->err() << second->err();
  touch("go");
  expect_success(*first);
  expect_success(*second);
}

TEST_F(NodesLost, AnAgentThatLeavesOnASignalCostsNoRestart) {
  const Words options = {"--rdzv-conf=last_call_timeout=600"};
  const auto first = coordinating_agent("1:2", options);
  const auto second = waiting_agent("1:2", options);
  ASSERT_TRUE(eventually_lines("up", 2));
  second->signal(SIGTERM);
  EXPECT_EQ(second->wait(), ExitStatus::exited(128 + SIGTERM)) << second->err();
  ASSERT_TRUE(eventually_lines("up", 3)) << first->err();
  touch("go");
  expect_success(*first);
}

TEST_F(NodesLost, WithoutTheirCoordinatorAllStopAndEndAfterTheTimeout) {
  const Words options = {"--coordinator-timeout=1"};
  const auto first = coordinating_agent("3", options);
  const auto second = waiting_agent("3", options);
  const auto third = waiting_agent("3", options);
  ASSERT_TRUE(eventually_lines("up", 3));
  kill(agent_of(*first), SIGKILL);
  EXPECT_EQ(second->wait(), ExitStatus::exited(75)) << second->err();
  EXPECT_EQ(third->wait(), ExitStatus::exited(75)) << third->err();
  EXPECT_THAT(second->err(), HasSubstr("the coordinator did not come back within 1 s"));
  first->wait();
  EXPECT_THAT(marker.processes(), IsEmpty());
}

TEST_F(NodesLost, ACoordinatingAgentThatComesBackFindsItsJobAgain) {
  const Words options = {"--coordinator-timeout=600", "--rdzv-conf=keep_alive_interval=0.1"};
  auto first = coordinating_agent("2", options);
  const auto second = waiting_agent("2", options);
  ASSERT_TRUE(eventually_lines("up", 2));
  kill(agent_of(*first), SIGKILL);
  EXPECT_EQ(first->wait(), ExitStatus::signaled(SIGKILL));
  first = coordinating_agent("2", options);
  ASSERT_TRUE(eventually_lines("up", 4)) << first->err() << second->err();
  touch("go");
  expect_success(*first);
  expect_success(*second);
  EXPECT_THAT(first->err(), HasSubstr("round 2."));
}

TEST_F(NodesLost, WorkersNeverNoticeThatACoordinatorOfItsOwnWasStartedAnew) {
  auto coordinator = own_coordinator("2");
  const auto first = waiting_agent("2");
  const auto second = waiting_agent("2");
  ASSERT_TRUE(eventually_lines("up", 2)) << coordinator->err() << first->err();
  coordinator->signal(SIGKILL);
  coordinator->wait();
  ASSERT_TRUE(first->wait_for_output("the workers run on")) << first->err();
  coordinator = own_coordinator("2");
  ASSERT_TRUE(first->wait_for_output("the coordinator is back")) << first->err();
  ASSERT_TRUE(second->wait_for_output("the coordinator is back")) << second->err();
  touch("go");
  expect_success(*first);
  expect_success(*second);
  EXPECT_EQ(coordinator->wait(), ExitStatus::exited(0)) << coordinator->err();
  EXPECT_EQ(lines_in("up"), 2u) << "a worker was started again";
}

TEST_F(NodesLost, ACoordinatorOfItsOwnEndsTheJobOnASignal) {
  const auto coordinator = own_coordinator("2");
  const auto first = waiting_agent("2");
  const auto second = waiting_agent("2");
  ASSERT_TRUE(eventually_lines("up", 2)) << coordinator->err();
  coordinator->signal(SIGTERM);
  EXPECT_EQ(first->wait(), ExitStatus::exited(128 + SIGTERM)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(128 + SIGTERM)) << second->err();
  EXPECT_EQ(coordinator->wait(), ExitStatus::exited(128 + SIGTERM)) << coordinator->err();
}

TEST_F(NodesLost, ACoordinatorOfItsOwnHasTheStatusOfTheJobsFailure) {
  const auto coordinator = own_coordinator("1:2", {"--rdzv-conf=last_call_timeout=0.1"});
  const auto only = agent("1:2", {"--rdzv-conf=last_call_timeout=0.1"}, shell("exit 9"));
  EXPECT_EQ(only->wait(), ExitStatus::exited(9)) << only->err();
  EXPECT_EQ(coordinator->wait(), ExitStatus::exited(9)) << coordinator->err();
  EXPECT_THAT(coordinator->err(), HasSubstr("exited with code 9"));
}

// Left by a coordinating agent that was killed when its job had just ended.
TEST_F(NodesLost, TheStateOfAJobThatHasEndedDoesNotEndTheNextOne) {
  CoordinatorState state;
  state.newest = {1, 3};
  state.launch_id = "an earlier one";
  state.job_id = "none";
  state.closed = JobEnd{JobEnd::Kind::kFailed, 3, {"Root cause: something"}};
  std::filesystem::create_directory(file("ferrun"));
  std::filesystem::permissions(file("ferrun"), std::filesystem::perms::owner_all);
  const std::string own = file("ferrun/coordinator-" + std::to_string(port) + "-none.state");
  for (const Words& options : {Words{}, Words{"--state-file=" + file("given")}}) {
    std::ofstream(options.empty() ? own : file("given")) << encode_state(state);
    const auto first = agent("2", options, shell("echo done"));
    const auto second = agent("2", options, shell("echo done"));
    expect_success(*first);
    expect_success(*second);
  }
}

TEST_F(NodesLost, ADeadSentinelEndsItsNodeAlone) {
  const Words options = {"--min-uptime=0", "--rdzv-conf=last_call_timeout=600"};
  const auto first = coordinating_agent("1:2", options);
  const auto second = waiting_agent("1:2", options);
  ASSERT_TRUE(eventually_lines("up", 2));
  second->signal(SIGKILL);
  second->wait();
  ASSERT_TRUE(eventually_lines("up", 3)) << first->err();
  touch("go");
  expect_success(*first);
}

}  // namespace
}  // namespace ferrun::testing
