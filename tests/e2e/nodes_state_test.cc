// What a coordinator leaves for the next one, and for whom it is; and a coordinator whose terminal stands still. Real
// agents on this machine.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <sstream>

#include "tests/e2e/nodes_run.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class NodesState : public WaitingNodes {
 protected:
  std::unique_ptr<Program> coordinator_of(const std::string& job, uint16_t at) const {
    return ferrun({"coordinator", "--nnodes=2", "--rdzv-endpoint=127.0.0.1:" + std::to_string(at), "--rdzv-id=" + job,
                   "--state-file=" + file("state"), "--verbose"});
  }
};

TEST_F(NodesState, ALaunchInheritsNothingOfOneThatIsDead) {
  const Words options = {"--max-restarts=1", "--rdzv-conf=keep_alive_interval=0.1"};
  const Words first_program =
      shell("[ $TORCHELASTIC_RESTART_COUNT = 0 ] && exit 3; echo $FERRUN_LAUNCH_ID >> $DIR/first; exec sleep 3600");
  auto first = agent("2", options, first_program);
  auto second = agent("2", options, first_program);
  ASSERT_TRUE(eventually_lines("first", 2)) << first->err() << second->err();
  kill(agent_of(*first), SIGKILL);
  kill(agent_of(*second), SIGKILL);
  first->wait();
  second->wait();
  ASSERT_TRUE(std::filesystem::exists(file("ferrun/coordinator-" + std::to_string(port) + "-none.state")));

  Words others = options;
  others.push_back("--nproc-per-node=2");
  const Words other_program = shell("echo $FERRUN_LAUNCH_ID restart $TORCHELASTIC_RESTART_COUNT >> $DIR/second");
  first = agent("2", others, other_program);
  second = agent("2", others, other_program);
  EXPECT_EQ(first->wait(), ExitStatus::exited(0)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(0)) << second->err();
  std::istringstream old_lines(read_file(file("first")));
  std::string old_launch;
  old_lines >> old_launch;
  EXPECT_FALSE(old_launch.empty());
  EXPECT_EQ(lines_in("second"), 4u);
  EXPECT_THAT(read_file(file("second")),
              AllOf(HasSubstr("restart 0"), Not(HasSubstr("restart 1")), Not(HasSubstr(old_launch))));
}

// Whoever waited for a lease would wait for the test's whole patience.
TEST_F(NodesState, ALaunchWaitsForNoLeaseOfAgentsThatAreDeadOnThisMachine) {
  // With a restart left the loss of the node that is killed first ends no job, whose state would be gone.
  const Words options = {"--max-restarts=1", "--rdzv-conf=keep_alive_interval=100", "--verbose"};
  for (const bool with_sentinels : {false, true}) {
    auto first = agent("2", options, shell("echo up >> $DIR/up; exec sleep 3600"));
    auto second = agent("2", options, shell("echo up >> $DIR/up; exec sleep 3600"));
    ASSERT_TRUE(eventually_lines("up", with_sentinels ? 4 : 2)) << first->err() << second->err();
    for (const auto* each : {&first, &second}) {
      const pid_t its_agent = agent_of(**each);
      ASSERT_GT(its_agent, 0);
      if (with_sentinels) (*each)->signal(SIGKILL);
      kill(its_agent, SIGKILL);
      (*each)->wait();
    }
    first = agent("2", options, shell("true"));
    second = agent("2", options, shell("true"));
    EXPECT_EQ(first->wait(), ExitStatus::exited(0)) << first->err();
    EXPECT_EQ(second->wait(), ExitStatus::exited(0)) << second->err();
    EXPECT_THAT(first->err() + second->err(), HasSubstr("has come back: what starts now is a new launch"));
  }
}

TEST_F(NodesState, ALaunchWaitsForALivingAgentOfTheOneBeforeAndSaysSo) {
  const Words options = {"--verbose", "--rdzv-conf=keep_alive_interval=0.5"};
  auto first = agent("2", options, shell("echo up >> $DIR/up; exec sleep 3600"));
  ASSERT_TRUE(first->wait_for_output("this agent coordinates the job")) << first->err();
  const auto second = agent("2", options, shell("echo up >> $DIR/up; exec sleep 3600"));
  ASSERT_TRUE(eventually_lines("up", 2)) << first->err() << second->err();
  // Stopped with its sentinel: it holds its lease to the end, and answers nobody.
  second->signal(SIGSTOP);
  kill(agent_of(*second), SIGSTOP);
  kill(agent_of(*first), SIGKILL);
  first->wait();
  first = agent("1:2", options, shell("true"));
  EXPECT_TRUE(first->wait_for_output("to come back, or for their leases to end")) << first->err();
}

TEST_F(NodesState, ASecondCoordinatorIsKeptOffTheStateFileByName) {
  const auto one = coordinator_of("one", port);
  ASSERT_TRUE(one->wait_for_output("coordinating job")) << one->err();
  const auto two = coordinator_of("two", free_port());
  EXPECT_EQ(two->wait(), ExitStatus::exited(2)) << two->err();
  EXPECT_THAT(two->err(), AllOf(HasSubstr("--state-file=" + file("state") + " is in use"), HasSubstr("job 'one'"),
                                HasSubstr("job 'two'")));
}

TEST_F(NodesState, AStateFileOfAnotherJobIsRefusedByName) {
  const auto one = coordinator_of("one", port);
  ASSERT_TRUE(one->wait_for_output("coordinating job")) << one->err();
  ASSERT_TRUE(eventually_exists("state"));
  one->signal(SIGKILL);
  one->wait();
  const auto two = coordinator_of("two", port);
  EXPECT_EQ(two->wait(), ExitStatus::exited(2)) << two->err();
  EXPECT_THAT(two->err(), AllOf(HasSubstr("is of job 'one'"), HasSubstr("this is job 'two'"), HasSubstr("remove it")));
  const auto again = coordinator_of("one", port);
  EXPECT_TRUE(again->wait_for_output("coordinating job")) << again->err();
}

// As Ctrl-S does it: nobody reads its stderr, which is full already.
TEST_F(NodesState, ACoordinatorWhoseTerminalStandsStillCoordinatesAndEndsWhenTold) {
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(pipe2(pipe_ends.data(), O_CLOEXEC), 0);
  const auto [reader, writer] = pipe_ends;
  ASSERT_EQ(fcntl(writer, F_SETFL, O_NONBLOCK), 0);
  while (write(writer, "x", 1) == 1) {
  }
  ASSERT_EQ(fcntl(writer, F_SETFL, 0), 0);
  const auto coordinator = ferrun(
      {"coordinator", "--nnodes=2", "--rdzv-endpoint=" + endpoint(), "--state-file=" + file("state"), "--verbose"}, {},
      [writer = writer] { dup2(writer, STDERR_FILENO); });
  close(writer);
  ASSERT_TRUE(eventually_listens(port)) << "else an agent may be first to coordinate";
  const auto first = waiting_agent("2");
  const auto second = waiting_agent("2");
  ASSERT_TRUE(eventually_lines("up", 2)) << first->err();
  coordinator->signal(SIGTERM);
  EXPECT_EQ(coordinator->wait(), ExitStatus::exited(128 + SIGTERM));
  EXPECT_EQ(first->wait(), ExitStatus::exited(128 + SIGTERM)) << first->err();
  EXPECT_EQ(second->wait(), ExitStatus::exited(128 + SIGTERM)) << second->err();
  close(reader);
}

}  // namespace
}  // namespace ferrun::testing
