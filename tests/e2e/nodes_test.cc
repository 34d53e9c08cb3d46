// One job on several nodes, from the command lines to the exit statuses: three agents on this machine, real workers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <set>
#include <sstream>

#include "tests/e2e/nodes_run.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Programs = std::vector<std::unique_ptr<Program>>;

std::vector<std::string> lines_of_all(const Programs& programs) {
  std::vector<std::string> lines;
  for (const auto& program : programs) {
    std::istringstream text(program->out());
    for (std::string line; std::getline(text, line);) lines.push_back(line);
  }
  std::ranges::sort(lines);
  return lines;
}

class NodesTest : public Nodes {
 protected:
  Programs agents(int count, const std::string& nnodes, const Words& options, const Words& command) const {
    Programs started;
    for (int i = 0; i < count; ++i) started.push_back(agent(nnodes, options, command));
    return started;
  }
  static std::vector<int> codes(const Programs& programs) {
    std::vector<int> codes;
    for (const auto& program : programs) codes.push_back(program->wait().shell_code());
    return codes;
  }
  static std::string errors(const Programs& programs) {
    std::string text;
    for (const auto& program : programs) text += "---\n" + program->err();
    return text;
  }
  // The one that coordinates, as it says with --verbose.
  static size_t coordinator_among(const Programs& programs) {
    for (size_t i = 0; i < programs.size(); ++i) {
      if (!programs[i]->wait_for_output(" coordinates ")) ADD_FAILURE() << programs[i]->err();
      if (programs[i]->err().find("this agent coordinates") != std::string::npos) return i;
    }
    ADD_FAILURE() << "no agent coordinates the job";
    return 0;
  }
  // By name: programs beside the tests may have jobs of their own.
  std::string status() const {
    const auto asked = ferrun({"status", "--job=none"});
    asked->wait();
    return asked->out() + asked->err();
  }
};

TEST_F(NodesTest, ThreeAgentsRunOneJob) {
  const Programs job =
      agents(3, "3", {"--nproc-per-node=2", "--rdzv-id=run7"},
             shell("echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $GROUP_RANK/$GROUP_WORLD_SIZE "
                   "$ROLE_RANK/$ROLE_WORLD_SIZE $TORCHELASTIC_RESTART_COUNT $TORCHELASTIC_RUN_ID "
                   "$TORCHELASTIC_USE_AGENT_STORE"));
  EXPECT_THAT(codes(job), Each(0)) << errors(job);
  EXPECT_THAT(lines_of_all(job),
              ElementsAre("0/6 0/2 0/3 0/6 0 run7 True", "1/6 1/2 0/3 1/6 0 run7 True", "2/6 0/2 1/3 2/6 0 run7 True",
                          "3/6 1/2 1/3 3/6 0 run7 True", "4/6 0/2 2/3 4/6 0 run7 True", "5/6 1/2 2/3 5/6 0 run7 True"));
  for (const auto& program : job) EXPECT_EQ(program->err(), "");
}

TEST_F(NodesTest, AllWorkersShareStoreLaunchAndInterface) {
  const Programs job =
      agents(2, "2", {}, shell("echo $MASTER_ADDR $MASTER_PORT $FERRUN_LAUNCH_ID $GLOO_SOCKET_IFNAME"));
  EXPECT_THAT(codes(job), Each(0)) << errors(job);
  const std::vector<std::string> lines = lines_of_all(job);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], lines[1]);
  EXPECT_THAT(lines[0], AllOf(HasSubstr("127.0.0.1 "), HasSubstr(" lo")));
}

TEST_F(NodesTest, NodesOfDifferentSizesHaveConsecutiveRanks) {
  Programs job;
  for (const char* workers : {"1", "3", "2"}) {
    job.push_back(agent("3", {std::string("--nproc-per-node=") + workers}, shell("echo $RANK/$WORLD_SIZE")));
  }
  EXPECT_THAT(codes(job), Each(0)) << errors(job);
  EXPECT_THAT(lines_of_all(job), ElementsAre("0/6", "1/6", "2/6", "3/6", "4/6", "5/6"));
}

TEST_F(NodesTest, RolesAreCountedApart) {
  Programs job;
  job.push_back(agent("2", {"--nproc-per-node=2", "--role=actor", "--node-rank=0"},
                      shell("echo $RANK $ROLE_NAME "
                            "$ROLE_RANK/$ROLE_WORLD_SIZE")));
  job.push_back(agent("2", {"--nproc-per-node=1", "--role=learner", "--node-rank=1"},
                      shell("echo $RANK $ROLE_NAME "
                            "$ROLE_RANK/$ROLE_WORLD_SIZE")));
  EXPECT_THAT(codes(job), Each(0)) << errors(job);
  EXPECT_THAT(lines_of_all(job), ElementsAre("0 actor 0/2", "1 actor 1/2", "2 learner 0/1"));
}

TEST_F(NodesTest, NodeRanksAreAsAsked) {
  Programs job;
  for (const char* rank : {"2", "0", "1"}) {
    job.push_back(agent("3", {std::string("--node-rank=") + rank}, shell("echo $GROUP_RANK")));
  }
  EXPECT_THAT(codes(job), Each(0)) << errors(job);
  EXPECT_EQ(job[0]->out(), "2\n");
  EXPECT_EQ(job[1]->out(), "0\n");
  EXPECT_EQ(job[2]->out(), "1\n");
}

TEST_F(NodesTest, OnePortIsEnoughWhereItIsShared) {
  const Programs job = agents(3, "3", {"--master-port=" + std::to_string(port)}, shell("echo $MASTER_PORT"));
  EXPECT_THAT(codes(job), Each(0)) << errors(job);
  EXPECT_THAT(lines_of_all(job), Each(std::to_string(port)));
}

TEST_F(NodesTest, RankZerosStoreHasThePortThatAnEarlierAgentOfItsMachineCouldHaveTaken) {
  const std::string shared = "--master-port=" + std::to_string(port);
  Programs job;
  job.push_back(agent("2", {shared, "--node-rank=1", "--verbose"}, shell("echo $GROUP_RANK $MASTER_PORT")));
  ASSERT_TRUE(job[0]->wait_for_output("the agent of node rank 0 is to coordinate")) << job[0]->err();
  job.push_back(agent("2", {shared, "--node-rank=0"}, shell("echo $GROUP_RANK $MASTER_PORT")));
  EXPECT_THAT(codes(job), Each(0)) << errors(job);
  EXPECT_EQ(job[0]->out(), "1 " + std::to_string(port) + "\n");
  EXPECT_EQ(job[1]->out(), "0 " + std::to_string(port) + "\n");
}

TEST_F(NodesTest, AStoreLeavesItsPortToACoordinatorInAnotherProcess) {
  const auto coordinator = ferrun(
      {"coordinator", "--nnodes=2", "--rdzv-endpoint=" + endpoint(), "--state-file=" + file("state"), "--verbose"});
  ASSERT_TRUE(coordinator->wait_for_output("coordinating job")) << coordinator->err();
  const Programs job = agents(2, "2", {"--master-port=" + std::to_string(port)}, shell("echo $MASTER_PORT"));
  EXPECT_THAT(codes(job), Each(0)) << errors(job);
  EXPECT_EQ(coordinator->wait().shell_code(), 0) << coordinator->err();
  const std::vector<std::string> ports = lines_of_all(job);
  ASSERT_EQ(ports.size(), 2u);
  EXPECT_EQ(ports[0], ports[1]);
  EXPECT_NE(ports[0], std::to_string(port));
  EXPECT_THAT(errors(job), HasSubstr("is the coordinator's, which another process of this machine hosts"));
}

TEST_F(NodesTest, TheStoresPortComesFromTheRange) {
  const uint16_t first = free_port();
  const std::string range = std::to_string(first) + "-" + std::to_string(first + 20);
  const Programs job = agents(2, "2", {"--port-range=" + range}, shell("echo $MASTER_PORT"));
  EXPECT_THAT(codes(job), Each(0)) << errors(job);
  for (const std::string& line : lines_of_all(job)) {
    EXPECT_GE(std::stoi(line), first);
    EXPECT_LE(std::stoi(line), first + 20);
  }
}

TEST_F(NodesTest, AFailedWorkerRestartsAllNodesWithOneCount) {
  const Programs job =
      agents(3, "3", {"--nproc-per-node=2", "--max-restarts=1"},
             shell("if [ $TORCHELASTIC_RESTART_COUNT = 0 ]; then [ $RANK = 3 ] && exit 3; sleep 3600; fi; "
                   "echo $RANK after $TORCHELASTIC_RESTART_COUNT"));
  EXPECT_THAT(codes(job), Each(0)) << errors(job);
  EXPECT_THAT(lines_of_all(job),
              ElementsAre("0 after 1", "1 after 1", "2 after 1", "3 after 1", "4 after 1", "5 after 1"));
}

TEST_F(NodesTest, TheRootCauseIsTheLastThingOnEveryScreen) {
  const Programs job = agents(3, "3", {"--nproc-per-node=2", "--tee=2"},
                              shell("if [ $RANK = 3 ]; then echo the data is gone >&2; exit 7; fi; sleep 3600"));
  EXPECT_THAT(codes(job), Each(7));
  for (const auto& program : job) {
    EXPECT_THAT(program->err(), HasSubstr("rank 3 (local_rank 1, pid"));
    EXPECT_THAT(program->err(), HasSubstr("exited with code 7"));
    EXPECT_THAT(program->err(), HasSubstr("the data is gone"));
  }
}

TEST_F(NodesTest, ASignalledWorkerGivesItsStatusToAll) {
  const Programs job = agents(2, "2", {}, shell("[ $RANK = 1 ] && kill -SEGV $$; sleep 3600"));
  EXPECT_THAT(codes(job), Each(128 + SIGSEGV)) << errors(job);
}

TEST_F(NodesTest, TermToAllEndsTheJobAndFormsNothing) {
  const Programs job = agents(3, "2:3", {"--rdzv-conf=last_call_timeout=600", "--shutdown-timeout=600"},
                              shell("echo up >> $DIR/up; sleep 3600"));
  ASSERT_TRUE(eventually_lines("up", 3));
  for (const auto& program : job) program->signal(SIGTERM);
  EXPECT_THAT(codes(job), Each(128 + SIGTERM));
  EXPECT_EQ(lines_in("up"), 3u) << "a second round was formed";
  EXPECT_THAT(marker.processes(), IsEmpty());
}

// Longer than its lease lasts without a coordinator, whose own workers have nothing to save.
TEST_F(NodesTest, TermToAllLetsEveryNodeSave) {
  const Words options = {"--verbose", "--rdzv-conf=keep_alive_interval=0.2,keep_alive_max_attempt=3"};
  const Words command = shell(
      "trap 'trap \"\" TERM; [ $RANK = 0 ] || sleep 3; echo saved >> $DIR/saved; exit 0' TERM; echo up >> $DIR/up; "
      "while :; do sleep 0.02; done");
  const auto with_rank = [&](const std::string& rank) {
    Words all = options;
    all.push_back("--node-rank=" + rank);
    return agent("2", all, command);
  };
  const auto first = with_rank("0");
  ASSERT_TRUE(first->wait_for_output("this agent coordinates the job")) << first->err();
  const auto second = with_rank("1");
  ASSERT_TRUE(eventually_lines("up", 2)) << first->err();
  first->signal(SIGTERM);
  second->signal(SIGTERM);
  EXPECT_EQ(first->wait(), ExitStatus::exited(128 + SIGTERM));
  EXPECT_EQ(second->wait(), ExitStatus::exited(128 + SIGTERM)) << second->err();
  EXPECT_EQ(lines_in("saved"), 2u) << second->err();
}

TEST_F(NodesTest, ALostNodesWorkersAreReplacedByThoseOfASpare) {
  Programs job = agents(2, "2", {"--verbose", "--min-uptime=0"},
                        shell("echo $GROUP_RANK >> $DIR/up.$TORCHELASTIC_RESTART_COUNT; "
                              "echo $GROUP_RANK >> $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done"));
  ASSERT_TRUE(eventually_lines("up", 2));
  job.push_back(agent("2", {"--verbose", "--min-uptime=0"},
                      shell("echo $GROUP_RANK >> $DIR/up.$TORCHELASTIC_RESTART_COUNT; "
                            "echo $GROUP_RANK >> $DIR/up; while [ ! -e $DIR/go ]; do sleep 0.02; done")));
  ASSERT_TRUE(eventually([&] { return status().find("spare") != std::string::npos; })) << status();
  const size_t coordinator = coordinator_among(job);
  Program& lost = *job[1 - coordinator];
  kill(agent_of(lost), SIGKILL);
  EXPECT_EQ(lost.wait(), ExitStatus::signaled(SIGKILL));
  ASSERT_TRUE(eventually_lines("up", 4)) << errors(job);
  touch("go");
  EXPECT_EQ(job[2]->wait(), ExitStatus::exited(0)) << errors(job);
  EXPECT_EQ(job[coordinator]->wait(), ExitStatus::exited(0)) << errors(job);
}

TEST_F(NodesTest, AnAgentTakesThePortWhenTheStrangerThatHasItIsGone) {
  const auto stranger = ferrun({"--master-port=" + std::to_string(port), "sh", "-c",
                                "touch $DIR/listens; while [ ! -e $DIR/end ]; do sleep 0.02; done"});
  ASSERT_TRUE(eventually_exists("listens"));
  const Programs job = agents(2, "2", {"--verbose"}, shell("echo $RANK"));
  ASSERT_TRUE(job[0]->wait_for_output("another one coordinates it")) << job[0]->err();
  ASSERT_TRUE(job[1]->wait_for_output("another one coordinates it")) << job[1]->err();
  touch("end");
  EXPECT_THAT(codes(job), Each(0)) << errors(job);
  EXPECT_THAT(lines_of_all(job), ElementsAre("0", "1"));
}

}  // namespace
}  // namespace ferrun::testing
