// Elastic sizes: last call, joins, spares, ranks that are claimed, nodes that cannot do their part.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "rendezvous/job/limits.h"
#include "tests/rendezvous/coordinator/coordinator_story.h"

namespace ferrun {
namespace {

using Phase = CoordinatorMachine::Phase;
using ::testing::HasSubstr;

TEST(CoordinatorElastic, HoldsALastCallAndStartsAtItsEnd) {
  CoordinatorStory story(CoordinatorStory::elastic(2, 4));
  story.join_all({"node0", "node1"});
  EXPECT_EQ(story.reason(), "last call: 30 s left for up to 2 more nodes");
  story.wait(18s);
  EXPECT_EQ(story.reason(), "last call: 12 s left for up to 2 more nodes");
  EXPECT_EQ(story.last<Waiting>("node1").sentence, "last call: 14 s left for up to 2 more nodes")
      << "a time alone is told every few seconds";
  story.wait(12s);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.node("node0").assignment.node_count, 2);
}

TEST(CoordinatorElastic, EndsTheLastCallWhenAllHaveJoined) {
  CoordinatorStory story(CoordinatorStory::elastic(1, 2));
  story.join_all({"node0", "node1"});
  EXPECT_EQ(story.phase(), Phase::kRunning);
}

TEST(CoordinatorElastic, CancelsTheLastCallBelowTheLeastNumber) {
  CoordinatorStory story(CoordinatorStory::elastic(2, 4));
  story.join_all({"node0", "node1"});
  story.wait(20s);
  story.kill("node1");
  story.wait(20s);
  EXPECT_THAT(story.reason(), HasSubstr("waiting for 1 of at least 2 nodes"));
  story.start_anew("node1");
  story.join("node1");
  EXPECT_EQ(story.reason(), "last call: 30 s left for up to 2 more nodes");
}

TEST(CoordinatorElastic, LetsANewcomerJoinARunningRoundAtMostOnceInAWhile) {
  CoordinatorStory story(CoordinatorStory::elastic(1, 4));
  story.join("node0");
  story.wait(30s);
  story.join("node1");
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.last<Stop>("node0").reason, "node1 joined");
  EXPECT_EQ(story.last<Go>("node0").reason, "node1 joined");
  EXPECT_EQ(story.node("node0").assignment.restart_count, 0);
  EXPECT_EQ(story.rank("node0"), 0);
  story.wait(10s);
  story.join_all({"node2", "node3"});
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.last<Waiting>("node2").sentence, "joins disturb the job at most every 30 s: 20 s left");
  story.wait(19999ms);
  EXPECT_EQ(story.round().number, 2u);
  story.wait(1ms);
  EXPECT_EQ(story.round().number, 3u);
  EXPECT_EQ(story.node("node0").assignment.node_count, 4);
}

TEST(CoordinatorElastic, LetsNobodyJoinOnceAWorkerHasSucceeded) {
  CoordinatorStory story(CoordinatorStory::elastic(1, 2));
  story.join("node0");
  story.wait(30s);
  story.say("node0", WorkerSucceeded{{1, 1}});
  story.join("node1");
  story.wait(100s);
  EXPECT_EQ(story.round().number, 1u);
  EXPECT_EQ(story.last<Waiting>("node1").sentence, "workers of round 1 have finished already: nobody joins any more");
  story.finish("node0");
  EXPECT_EQ(story.last<Close>("node1").end.exit_status, 0);
  EXPECT_TRUE(story.done);
}

TEST(CoordinatorElastic, KeepsNodesBeyondTheLargestNumberAsSpares) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.join_all({"node0", "node1", "node2"});
  story.wait(30s);
  EXPECT_EQ(story.last<Waiting>("node2").sentence,
            "all 2 nodes are there: this one is a spare and takes the place of one that is lost");
  story.kill("node0");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.rank("node1"), 1) << "survivors keep their ranks";
  EXPECT_EQ(story.rank("node2"), 0);
}

TEST(CoordinatorElastic, TellsASpareThatConnectsAnewWhatItWaitsFor) {
  CoordinatorStory story(CoordinatorStory::fixed(1));
  story.join_all({"node0", "spare"});
  story.wait(10s);
  ASSERT_EQ(story.count<Waiting>("spare"), 1u);
  story.lose("spare", LossKind::kReset);
  story.join("spare");
  story.wait(2s);
  EXPECT_EQ(story.count<Waiting>("spare"), 2u) << "without it, it does not know that a round runs, and gives up";
}

TEST(CoordinatorElastic, PrefersSparesToLaterNewcomers) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.join_all({"node0", "node1", "z-spare", "a-newcomer"});
  story.wait(30s);
  story.kill("node1");
  EXPECT_EQ(story.rank("z-spare"), 1);
  EXPECT_EQ(story.node("a-newcomer").accepted.number, 0u);
}

TEST(CoordinatorElastic, StopsARoundForANodeThatComesBackAfterALoss) {
  CoordinatorConfig config = CoordinatorStory::elastic(1, 2);
  config.min_uptime = 0s;
  CoordinatorStory story(config);
  story.join_all({"node0", "node1"});
  story.kill("node1");
  EXPECT_EQ(story.round().number, 2u);
  story.start_anew("node1");
  story.join("node1");
  EXPECT_EQ(story.round().number, 3u);
  EXPECT_EQ(story.rank("node1"), 1);
}

// --- Claims of ranks. ---

TEST(CoordinatorRanks, GivesANodeOfAFixedSizeTheRankThatItClaims) {
  CoordinatorStory story(CoordinatorStory::fixed(3));
  story.node("node0").join.node_rank = 2;
  story.node("node1").join.node_rank = 0;
  story.join_all({"node0", "node1", "node2"});
  EXPECT_EQ(story.rank("node0"), 2);
  EXPECT_EQ(story.rank("node1"), 0);
  EXPECT_EQ(story.rank("node2"), 1);
}

TEST(CoordinatorRanks, RefusesARankThatIsTakenWhileItsHolderAnswers) {
  CoordinatorStory story(CoordinatorStory::fixed(3));
  story.node("node0").join.node_rank = 1;
  story.node("node1").join.node_rank = 1;
  story.join_all({"node0", "node1"});
  EXPECT_EQ(story.last<Refused>("node1").reason, "node rank 1 is taken by node0 (192.168.0.1)");
  EXPECT_TRUE(story.last<Refused>("node1").try_again);
  story.node("node0").beats = false;
  story.wait(5s);
  story.join("node1");
  EXPECT_EQ(story.count<Welcome>("node1"), 1u);
  story.say("node0", Heartbeat{1});
  EXPECT_EQ(story.last<Refused>("node0").reason, "node rank 1 is taken by node1 (192.168.0.2)");
}

TEST(CoordinatorRanks, RefusesARankThatDoesNotExist) {
  CoordinatorStory story(CoordinatorStory::fixed(3));
  for (const int rank : {-1, 3, 1 << 30}) {
    story.node("node0").join.node_rank = rank;
    story.join("node0");
    EXPECT_FALSE(story.last<Refused>("node0").try_again);
    EXPECT_EQ(story.last<Refused>("node0").reason,
              "node rank " + std::to_string(rank) + " does not exist: there are 3 nodes, counted from 0");
  }
}

TEST(CoordinatorRanks, PrefersTheHostingAgentForRankZero) {
  CoordinatorConfig config = CoordinatorStory::fixed(2);
  config.host_agent.value = 102;  // the second node of a story
  CoordinatorStory story(config);
  story.join_all({"a", "b"});
  EXPECT_EQ(story.rank("b"), 0);
}

// --- Who may not take part, and who cannot. ---

TEST(CoordinatorDoor, RefusesOtherTermsAndNamesBothValues) {
  CoordinatorConfig config = CoordinatorStory::fixed(2);
  config.terms = {{"--nnodes", "2"}, {"--max-restarts", ""}};
  CoordinatorStory story(config);
  story.node("node0").join.terms = {{"--nnodes", "2"}, {"--max-restarts", "3"}};
  story.node("node1").join.terms = {{"--nnodes", "2"}, {"--max-restarts", "0"}};
  story.join_all({"node0", "node1"});
  EXPECT_EQ(story.last<Refused>("node1").reason, "--max-restarts is 3 on node0 and 0 here");
  EXPECT_FALSE(story.last<Refused>("node1").try_again);
  EXPECT_EQ(story.node("node1").connection, 0u);
}

TEST(CoordinatorDoor, ForgetsTheTermsOfAFirstNodeThatWentAwayBeforeAnyRound) {
  CoordinatorConfig config = CoordinatorStory::fixed(2);
  config.terms = {{"--max-restarts", ""}};
  CoordinatorStory story(config);
  story.node("node0").join.terms = {{"--max-restarts", "3"}};
  story.node("node1").join.terms = {{"--max-restarts", "0"}};
  story.join("node0");
  story.kill("node0");
  story.join("node1");
  EXPECT_EQ(story.count<Refused>("node1"), 0u);
}

TEST(CoordinatorDoor, RefusesNumbersThatMakeNoSense) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  for (const int workers : {0, -5, 1 << 20}) {
    story.node("node0").join.workers = workers;
    story.join("node0");
    EXPECT_EQ(story.node("node0").connection, 0u) << workers;
  }
  story.node("node1").accepted = {~uint64_t{0}, ~uint64_t{0}};
  story.join("node1");
  EXPECT_EQ(story.node("node1").connection, 0u);
  story.node("node2").agent.value = 0;
  story.join("node2");
  EXPECT_EQ(story.node("node2").connection, 0u);
}

TEST(CoordinatorDoor, IgnoresASecondJoinAndMessagesBeforeTheFirst) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.step(PeerArrived{50, AgentId{5}, "10.0.0.9"});
  story.step(PeerSaid{50, NodeFailed{{1, 1}, {}}});
  story.step(PeerSaid{50, Heartbeat{1}});
  story.step(PeerSaid{51, Heartbeat{1}});
  story.join("node0");
  story.say("node0", story.node("node0").join);
  EXPECT_EQ(story.count<Welcome>("node0"), 1u);
}

TEST(CoordinatorDoor, AnswersQuestionsAboutItsStateToAnybody) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.join("node0");
  story.node("asker").connection = 50;
  story.step(PeerArrived{50, AgentId{0}, "10.0.0.9"});
  story.step(PeerSaid{50, StatusRequest{7}});
  EXPECT_EQ(story.last<StatusReply>("asker").id, 7u);
  EXPECT_THAT(story.last<StatusReply>("asker").json, HasSubstr("waiting for 1 of 2 nodes; here: node0"));
}

TEST(CoordinatorDoor, PreparesAgainWithoutANodeThatCannotReachTheStoreThreeTimes) {
  CoordinatorConfig config = CoordinatorStory::elastic(1, 2);
  CoordinatorStory story(config);
  story.node("node0");
  story.node("node1").answers = false;
  story.join_all({"node0", "node1"});
  for (uint64_t number = 1; number <= 3; ++number) {
    EXPECT_EQ(story.round().number, number) << "a failed preparation burns its number";
    story.say("node1", NotPrepared{story.round(), "10.0.0.1 refused the connection"});
  }
  EXPECT_EQ(story.last<Refused>("node1").reason,
            "3 rounds could not start because of node1: 10.0.0.1 refused the connection");
  EXPECT_EQ(story.last<Refused>("node1").after, 10s);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.node("node0").assignment.node_count, 1);
}

TEST(CoordinatorDoor, NamesTheNodeThatDidNotAnswerInTime) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.node("node0");
  story.node("node1").answers = false;
  story.join_all({"node0", "node1"});
  story.wait(30s);
  EXPECT_TRUE(story.said("round 1 cannot start: waiting for node1 to be ready took more than 30 s"));
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.reason(),
            "preparing round 2: waiting for node1 to be ready; the last round could not start: waiting for node1 to be "
            "ready took more than 30 s");
  story.kill("node1");
  EXPECT_THAT(story.reason(), HasSubstr("node1 was lost"));
}

TEST(CoordinatorDoor, TakesAsManyWorkersAsANodeMayBeStartedWith) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.node("node0").join.workers = kMostWorkersOfNode;
  story.node("node1").join.workers = kMostWorkersOfNode + 1;
  story.join_all({"node0", "node1"});
  EXPECT_EQ(story.count<Welcome>("node0"), 1u);
  EXPECT_EQ(story.last<Refused>("node1").reason, "a node has 1 to 65536 workers, and this one says 65537");
}

TEST(CoordinatorDoor, KeepsTheRanksOfAVeryLargeJobWithinTheirType) {
  CoordinatorStory story(CoordinatorStory::elastic(1, 1'000'000));
  story.node("node0").join.workers = 2147;
  story.node("node1").join.workers = 2148;
  story.join_all({"node0", "node1"});
  EXPECT_EQ(story.count<Welcome>("node0"), 1u);
  EXPECT_EQ(story.last<Refused>("node1").reason, "a node has 1 to 2147 workers, and this one says 2148");
}

}  // namespace
}  // namespace ferrun
