// What becomes of a job with several nodes when workers fail, nodes come and go, and nobody is left to decide: the rows
// of ferrun-rendezvous(7) that agents on one machine can play.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "tests/e2e/nodes_run.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class NodesFailures : public WaitingNodes {
 protected:
  // By name: programs beside the tests may have jobs of their own.
  std::string status() const {
    const auto asked = ferrun({"status", "--job=none"});
    asked->wait();
    return asked->out() + asked->err();
  }
  bool eventually_status(const std::string& text) const {
    return eventually([&] { return status().find(text) != std::string::npos; });
  }
  // Whether none of the job's processes is left but agents, sentinels and coordinators.
  bool eventually_no_worker() const {
    return eventually([&] {
      for (const pid_t pid : marker.processes()) {
        const std::string command = read_file("/proc/" + std::to_string(pid) + "/comm");
        if (command != "ferrun\n" && !command.empty()) return false;
      }
      return true;
    });
  }
};

// --- Workers. ---

TEST_F(NodesFailures, NoFolderStaysOfAnAttemptThatNeverCame) {
  const auto alone = agent("1", {"--rdzv-backend=c10d", "--log-dir", file("logs"), "--redirects=3"}, shell("exit 3"));
  EXPECT_EQ(alone->wait().code(), 3) << alone->err();
  std::vector<std::string> attempts;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(file("logs"))) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("attempt_")) attempts.push_back(name);
  }
  EXPECT_THAT(attempts, ::testing::ElementsAre("attempt_0"));
}

TEST_F(NodesFailures, WorkersOfAllNodesAreAskedToEndAndKilledAfterTheGrace) {
  const auto stubborn = shell(
      "trap 'echo $RANK >> $DIR/asked' TERM; echo up >> $DIR/up; "
      "while [ $RANK = 0 ] || [ ! -e $DIR/go ]; do sleep 0.02; done; exit 3");
  const auto first = agent("2", {"--failure-grace=0.3"}, stubborn);
  const auto second = agent("2", {"--failure-grace=0.3"}, stubborn);
  ASSERT_TRUE(eventually_lines("up", 2));
  touch("go");
  EXPECT_EQ(first->wait(), ExitStatus::exited(3)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(3)) << second->err();
  EXPECT_EQ(read_file(file("asked")), "0\n");
  EXPECT_THAT(marker.processes(), IsEmpty());
}

TEST_F(NodesFailures, AFinishedNodeStaysAndRunsAgainWhenTheRoundFailsElsewhere) {
  const auto script = shell(
      "echo up >> $DIR/up; [ $GROUP_RANK = 0 ] || [ $TORCHELASTIC_RESTART_COUNT = 1 ] && exit 0; "
      "while [ ! -e $DIR/fail ]; do sleep 0.02; done; exit 3");
  const auto first = agent("2", {"--max-restarts=1"}, script);
  const auto second = agent("2", {"--max-restarts=1"}, script);
  ASSERT_TRUE(eventually_status("finished")) << status();
  touch("fail");
  EXPECT_EQ(first->wait(), ExitStatus::exited(0)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(0)) << second->err();
  EXPECT_EQ(lines_in("up"), 4u);
}

TEST_F(NodesFailures, NobodyJoinsOnceAWorkerHasSucceededAndLateNodesEndWellWithTheJob) {
  const Words options = {"--scale-interval=0", "--verbose", "--rdzv-conf=last_call_timeout=0.1"};
  const auto script = shell("echo up >> $DIR/up; while [ $GROUP_RANK = 1 ] && [ ! -e $DIR/go ]; do sleep 0.02; done");
  const auto first = agent("2:3", options, script);
  const auto second = agent("2:3", options, script);
  ASSERT_TRUE(eventually_status("finished")) << status();
  const auto third = agent("2:3", options, script);
  ASSERT_TRUE(third->wait_for_output("nobody joins any more")) << third->err();
  touch("go");
  EXPECT_EQ(first->wait(), ExitStatus::exited(0)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(0)) << second->err();
  EXPECT_EQ(third->wait(), ExitStatus::exited(0)) << third->err();
  EXPECT_EQ(lines_in("up"), 2u);
}

TEST_F(NodesFailures, TheCoordinatorsRulesDecideForAllNodes) {
  const auto script = shell(
      "echo up >> $DIR/up; [ $GROUP_RANK = 0 ] && exec sleep 600; "
      "while [ $(wc -l < $DIR/up) -lt 2 ]; do sleep 0.02; done; exit 42");
  const auto first = agent("2", {"--max-restarts=3", "--on-exit=42=stop"}, script);
  ASSERT_TRUE(eventually_status("waiting for 1 of 2 nodes")) << first->err();
  const auto second = agent("2", {"--max-restarts=3"}, script);
  EXPECT_EQ(first->wait(), ExitStatus::exited(42)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(42)) << second->err();
  EXPECT_THAT(second->err(), HasSubstr("\nNo restart: --on-exit=42=stop\n"));
  EXPECT_THAT(first->err(), HasSubstr("--on-exit is 42=stop on"));
  EXPECT_EQ(lines_in("up"), 2u);
}

// --- Lost nodes. ---

TEST_F(NodesFailures, WorkersThatWaitForALostNodeAreKilledAfterTheGraceOfAFailure) {
  const Words options = {"--min-uptime=0", "--failure-grace=0.2", "--shutdown-timeout=600",
                         "--rdzv-conf=last_call_timeout=600", "--verbose"};
  // As in a collective with a peer that is gone: no signal ends it.
  const auto waiting = shell(
      "trap : TERM; echo up >> $DIR/up; "
      "while [ $GROUP_WORLD_SIZE = 2 ] || [ ! -e $DIR/go ]; do sleep 0.02; done");
  const auto first = agent("1:2", options, waiting);
  ASSERT_TRUE(first->wait_for_output("this agent coordinates the job")) << first->err();
  const auto second = agent("1:2", options, waiting);
  ASSERT_TRUE(eventually_lines("up", 2)) << first->err() << second->err();
  kill(agent_of(*second), SIGKILL);
  ASSERT_TRUE(eventually_lines("up", 3)) << first->err();
  touch("go");
  EXPECT_EQ(first->wait(), ExitStatus::exited(0)) << first->err();
}

TEST_F(NodesFailures, AFixedJobWaitsForAReplacementAndSpendsNoRestart) {
  const Words options = {"--min-uptime=0"};
  const auto first = coordinating_agent("2", options);
  const auto second = waiting_agent("2", options);
  ASSERT_TRUE(eventually_lines("up", 2));
  kill(agent_of(*second), SIGKILL);
  ASSERT_TRUE(first->wait_for_output("waiting for 1 of 2 nodes")) << first->err();
  const auto third = waiting_agent("2", options);
  ASSERT_TRUE(eventually_lines("up", 4)) << first->err() << third->err();
  EXPECT_THAT(read_file(file("up")), Not(HasSubstr("restart 1")));
  touch("go");
  expect_success(*first);
  expect_success(*third);
}

TEST_F(NodesFailures, AJobThatIsTooSmallEndsWhenNobodyComesWithinTheTime) {
  const Words options = {"--min-uptime=0", "--rdzv-conf=join_timeout=2"};
  const auto first = coordinating_agent("2", options);
  const auto second = waiting_agent("2", options);
  ASSERT_TRUE(eventually_lines("up", 2)) << first->err() << second->err();
  kill(agent_of(*second), SIGKILL);
  EXPECT_EQ(first->wait(), ExitStatus::exited(75)) << first->err();
  EXPECT_THAT(first->err(), HasSubstr("waiting for 1 of 2 nodes"));
}

TEST_F(NodesFailures, ALossSoonAfterTheStartSpendsARestart) {
  const Words options = {"--max-restarts=1", "--rdzv-conf=last_call_timeout=600"};
  const auto first = coordinating_agent("1:3", options);
  auto second = waiting_agent("1:3", options);
  const auto third = waiting_agent("1:3", options);
  ASSERT_TRUE(eventually_lines("up", 3));
  kill(agent_of(*third), SIGKILL);
  ASSERT_TRUE(eventually_up("0 of 2, restart 1")) << first->err();
  kill(agent_of(*second), SIGKILL);
  EXPECT_EQ(first->wait(), ExitStatus::exited(75)) << first->err();
  EXPECT_THAT(first->err(), HasSubstr("was lost: its connection ended"));
}

TEST_F(NodesFailures, ANodeThatIsLostAgainAndAgainIsKeptOut) {
  const Words options = {"--min-uptime=0", "--scale-interval=0", "--rdzv-conf=last_call_timeout=0.1"};
  const auto first = coordinating_agent("1:2", options);
  ASSERT_TRUE(eventually_lines("up", 1));
  for (size_t lost = 0; lost < 3; ++lost) {
    const auto second = waiting_agent("1:2", options);
    ASSERT_TRUE(eventually_lines("up", 3 + 3 * lost)) << first->err() << second->err();
    kill(agent_of(*second), SIGKILL);
    second->wait();
    ASSERT_TRUE(eventually_lines("up", 4 + 3 * lost)) << first->err();
  }
  const auto last = waiting_agent("1:2", options);
  EXPECT_TRUE(last->wait_for_output("disturbed the job too often and is barred for")) << last->err();
}

// --- Nodes that come. ---

TEST_F(NodesFailures, ANodeThatJoinsAnElasticJobStartsANewRound) {
  const Words options = {"--scale-interval=0", "--rdzv-conf=last_call_timeout=0.1"};
  const auto first = coordinating_agent("1:2", options);
  ASSERT_TRUE(eventually_up("0 of 1, restart 0"));
  const auto second = waiting_agent("1:2", options);
  ASSERT_TRUE(eventually_up("0 of 2, restart 0")) << first->err() << second->err();
  ASSERT_TRUE(eventually_up("1 of 2, restart 0")) << second->err();
  touch("go");
  expect_success(*first);
  expect_success(*second);
}

// The coordinator is still there because one node has not heard of the end.
TEST_F(NodesFailures, ANodeThatComesAfterTheEndOfTheJobEndsWithIt) {
  const Words options = {"--rdzv-conf=keep_alive_interval=60,close_timeout=60"};
  const auto first = coordinating_agent("2", options);
  const auto second = waiting_agent("2", options);
  ASSERT_TRUE(eventually_lines("up", 2));
  const auto spare = waiting_agent("2", options);
  ASSERT_TRUE(eventually_status("spare")) << status();
  const pid_t stopped = agent_of(*spare);
  kill(stopped, SIGSTOP);
  touch("go");
  expect_success(*second);
  const auto late = waiting_agent("2", options);
  EXPECT_EQ(late->wait(), ExitStatus::exited(0)) << late->err();
  kill(stopped, SIGCONT);
  EXPECT_EQ(spare->wait(), ExitStatus::exited(0)) << spare->err();
  expect_success(*first);
  EXPECT_EQ(lines_in("up"), 2u);
}

// --- Coordinators. ---

TEST_F(NodesFailures, ACoordinatingAgentThatComesBackKnowsTheRestartsThatWereSpent) {
  const Words options = {"--max-restarts=3", "--coordinator-timeout=600", "--rdzv-conf=keep_alive_interval=0.3"};
  auto first = coordinating_agent("2", options);
  const auto second = waiting_agent("2", options);
  ASSERT_TRUE(eventually_lines("up", 2));
  const std::vector<pid_t> workers = children_of_process(agent_of(*second));
  ASSERT_FALSE(workers.empty());
  kill(workers.front(), SIGKILL);
  ASSERT_TRUE(eventually_lines("up", 4)) << second->err();
  kill(agent_of(*first), SIGKILL);
  first->wait();
  first = coordinating_agent("2", options);
  ASSERT_TRUE(eventually_lines("up", 6)) << first->err() << second->err();
  const std::string up = read_file(file("up"));
  EXPECT_THAT(up.substr(up.find("restart 1")), Not(HasSubstr("restart 0")));
  EXPECT_THAT(up, Not(HasSubstr("restart 2")));
  touch("go");
  expect_success(*first);
  expect_success(*second);
}

TEST_F(NodesFailures, WithoutACoordinatorOfItsOwnTheLeasesEndAndTheJobToo) {
  const Words options = {"--coordinator-timeout=2"};
  const auto coordinator = own_coordinator("2", options);
  const auto first = waiting_agent("2", options);
  const auto second = waiting_agent("2", options);
  ASSERT_TRUE(eventually_lines("up", 2)) << coordinator->err();
  coordinator->signal(SIGKILL);
  EXPECT_EQ(first->wait(), ExitStatus::exited(75)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(75)) << second->err();
  EXPECT_THAT(first->err(), HasSubstr("the workers run on"));
  coordinator->wait();
  EXPECT_THAT(marker.processes(), IsEmpty());
}

TEST_F(NodesFailures, TermToTheCoordinatorsAgentAloneTakesTheCoordinatorAlong) {
  const Words options = {"--coordinator-timeout=2"};
  const auto first = coordinating_agent("2", options);
  const auto second = waiting_agent("2", options);
  ASSERT_TRUE(eventually_lines("up", 2));
  first->signal(SIGTERM);
  EXPECT_EQ(first->wait(), ExitStatus::exited(128 + SIGTERM)) << first->err();
  EXPECT_TRUE(eventually_no_worker());
  EXPECT_EQ(second->wait(), ExitStatus::exited(75)) << second->err();
  EXPECT_THAT(second->err(), HasSubstr("the coordinator did not come back within 2 s"));
}

}  // namespace
}  // namespace ferrun::testing
