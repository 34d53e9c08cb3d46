// Whole jobs on three hosts, with the network and the machines failing under them. Each story ends with the right exit
// statuses, and no worker of one group ever met a living one of another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/net/cluster.h"

namespace ferrun::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Stories : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string problem = network_problem(); !problem.empty()) GTEST_SKIP() << problem;
    cluster_.emplace(4);
    cluster_->set_options({"--nproc-per-node=2", "--max-restarts=3", "--shutdown-timeout=5"});
  }
  void TearDown() override {
    if (cluster_) {
      EXPECT_EQ(cluster_->violations(), "");
    }
  }

  Cluster& cluster() { return *cluster_; }
  TestNetwork& network() { return cluster_->network(); }

  // Three agents whose six workers have met.
  void start_three(const std::string& nodes = "3") {
    for (const int host : {0, 1, 2}) cluster().start(host, nodes);
    cluster().wait_for_group({0, 1, 2}, 6, 2);
  }
  void finish(const std::vector<int>& hosts) {
    cluster().finish();
    EXPECT_THAT(cluster().wait_for(hosts), Each(0));
  }

  std::optional<Cluster> cluster_;
};

TEST_F(Stories, ThreeHostsFormOneGroupInAnyOrderOfStart) {
  cluster().start(2, "3");
  cluster().start(1, "3");
  cluster().agent(2).wait_for("node0", 1);  // it says what it waits for
  cluster().start(0, "3");
  cluster().wait_for_group({0, 1, 2}, 6, 2);
  EXPECT_THAT(cluster().agent(0).output(), HasSubstr("rank 0 node 0"));
  finish({0, 1, 2});
}

TEST_F(Stories, AFailedWorkerRestartsAllNodesWithOneCount) {
  start_three();
  cluster().fail_rank(3);
  cluster().wait_for_group({0, 1, 2}, 6, 2, 2);
  for (const int host : {0, 1, 2}) EXPECT_THAT(cluster().agent(host).output(), HasSubstr("restart 1"));
  finish({0, 1, 2});
}

TEST_F(Stories, TheLastFailureEndsEveryAgentWithItsStatus) {
  cluster().set_options({"--nproc-per-node=2"});
  start_three();
  cluster().fail_rank(4);
  EXPECT_THAT(cluster().wait_for({0, 1, 2}), Each(3));
  EXPECT_THAT(cluster().agent(1).output(), HasSubstr("rank 4"));
}

TEST_F(Stories, AKilledNodeIsReplacedByASpare) {
  start_three();
  cluster().start(3, "3");
  cluster().agent(3).wait_for("spare");
  cluster().agent(1).send_all(SIGKILL);
  cluster().wait_for_group({0, 2}, 6, 2, 2);
  cluster().wait_for_group({3}, 6, 2);
  EXPECT_THAT(cluster().agent(3).output(), HasSubstr("node 1"));  // the dead one's place
  finish({0, 2, 3});
}

TEST_F(Stories, AnElasticJobGoesOnWithFewerNodesAndGrowsAgain) {
  cluster().set_options({"--nproc-per-node=2", "--max-restarts=3", "--rdzv-conf=last_call_timeout=1",
                         "--scale-interval=0", "--min-uptime=0"});
  start_three("2:3");
  cluster().agent(2).send_all(SIGKILL);
  cluster().wait_for_group({0, 1}, 4, 2);
  cluster().start(2, "2:3");
  cluster().wait_for_group({2}, 6, 2);
  cluster().wait_for_group({0, 1}, 6, 2, 2);
  finish({0, 1, 2});
}

TEST_F(Stories, ACutNodeStopsItsWorkersAndComesBack) {
  cluster().set_options({"--nproc-per-node=2", "--max-restarts=3", "--rdzv-conf=last_call_timeout=1",
                         "--scale-interval=0", "--min-uptime=0"});
  start_three("2:3");
  network().cut(2);
  cluster().wait_for_group({0, 1}, 4, 2);
  network().heal(2);
  cluster().wait_for_group({0, 1, 2}, 6, 2, 2);
  finish({0, 1, 2});
}

TEST_F(Stories, ANodeThatHearsNothingOrIsNotHeardIsLostAlike) {
  cluster().set_options({"--nproc-per-node=2", "--max-restarts=3", "--rdzv-conf=last_call_timeout=1",
                         "--scale-interval=0", "--min-uptime=0"});
  start_three("2:3");
  network().swallow_sent(1);
  cluster().wait_for_group({0, 2}, 4, 2);
  network().heal(1);
  cluster().wait_for_group({0, 1, 2}, 6, 2, 2);
  network().swallow_received(2);
  cluster().wait_for_group({0, 1}, 4, 2);
  network().heal(2);
  cluster().wait_for_group({0, 1, 2}, 6, 2, 3);
  finish({0, 1, 2});
}

TEST_F(Stories, AResetConnectionDisturbsNobody) {
  start_three();
  network().reset_connections(1, 0);
  cluster().agent(1).wait_for("again");
  finish({0, 1, 2});
  EXPECT_THAT(cluster().agent(0).output(), ::testing::Not(HasSubstr("restart 1")));
}

// Node 1 serves the store, node 0 coordinates: node 2 reaches the one and not the other.
TEST_F(Stories, ARoundWhoseStoreANodeCannotReachIsGivenUpAndTriedAgain) {
  network().part(1, 2);
  const char* const ranks[] = {"--node-rank=1", "--node-rank=0", "--node-rank=2"};
  for (const int host : {0, 1, 2}) {
    cluster().set_options({"--nproc-per-node=2", "--verbose", ranks[host]});
    cluster().start(host, "3");
  }
  cluster().agent(0).wait_for("round 1 cannot start: node2");
  const std::string why = "the store of rank 0's node is out of reach";
  for (const int host : {0, 1}) cluster().agent(host).wait_for("the last round could not start: node2: " + why);
  cluster().agent(2).wait_for("the last round could not start: " + why);
  network().heal(1);
  cluster().wait_for_group({0, 1, 2}, 6, 2);
  finish({0, 1, 2});
}

TEST_F(Stories, AStoppedNodeLosesItsWorkersAtTheEndOfItsLease) {
  cluster().set_options({"--nproc-per-node=2", "--max-restarts=3", "--rdzv-conf=last_call_timeout=1",
                         "--scale-interval=0", "--min-uptime=0"});
  start_three("2:3");
  const std::vector<pid_t> below = cluster().agent(1).descendants();
  kill(below.front(), SIGSTOP);  // the agent alone: its sentinel watches the lease
  cluster().wait_for_group({0, 2}, 4, 2);
  kill(below.front(), SIGCONT);
  cluster().wait_for_group({0, 1, 2}, 6, 2, 2);
  finish({0, 1, 2});
}

TEST_F(Stories, ALostCoordinatorEndsTheJobAfterItsTimeout) {
  cluster().set_options({"--nproc-per-node=2", "--max-restarts=3", "--coordinator-timeout=2"});
  start_three();
  cluster().agent(0).send_all(SIGKILL);
  EXPECT_THAT(cluster().wait_for({1, 2}), ElementsAre(75, 75));
  EXPECT_THAT(cluster().agent(1).output(), HasSubstr("coordinator"));
}

TEST_F(Stories, ACoordinatorThatComesBackGathersItsMembers) {
  start_three();
  cluster().agent(0).send_all(SIGKILL);
  cluster().agent(0).wait();
  cluster().start(0, "3");
  cluster().wait_for_group({1, 2}, 6, 2, 2);
  cluster().wait_for_group({0}, 6, 2);
  finish({0, 1, 2});
}

TEST_F(Stories, TermToAllEndsTheJobAndFormsNothing) {
  start_three();
  for (const int host : {2, 0, 1}) cluster().agent(host).send(SIGTERM);
  EXPECT_THAT(cluster().wait_for({0, 1, 2}), Each(128 + SIGTERM));
}

}  // namespace
}  // namespace ferrun::testing
