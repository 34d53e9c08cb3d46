// Nodes that vanish, fall silent, break off, come back or leave: leases, fences, goodbyes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/rendezvous/coordinator/coordinator_story.h"

namespace ferrun {
namespace {

using Phase = CoordinatorMachine::Phase;
using ::testing::HasSubstr;

// Up for long enough that losses cost nothing.
CoordinatorStory running(CoordinatorConfig config, const std::vector<std::string>& names) {
  CoordinatorStory story(std::move(config));
  story.join_all(names);
  if (story.phase() == Phase::kGathering) story.wait(config.last_call);
  story.wait(config.min_uptime);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  return story;
}

CoordinatorStory three_of_two_to_three() {
  return running(CoordinatorStory::elastic(2, 3), {"node0", "node1", "node2"});
}

TEST(CoordinatorLoss, FormsANewRoundAtOnceWhenANodeHasGoneWithItsWorkers) {
  CoordinatorStory story = three_of_two_to_three();
  story.kill("node1");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.last<Stop>("node0").kind, StopKind::kLoss);
  EXPECT_EQ(story.last<Stop>("node0").reason, "node1 was lost: its connection ended");
  EXPECT_EQ(story.rank("node0"), 0);
  EXPECT_EQ(story.rank("node2"), 1) << "the highest rank moves down";
  EXPECT_EQ(story.node("node0").assignment.restart_count, 0);
  EXPECT_EQ(story.last<Go>("node0").reason, "node1 was lost: its connection ended");
}

TEST(CoordinatorLoss, StopsTheOthersAtOnceAndWaitsForTheLeaseOfASilentNode) {
  CoordinatorStory story = three_of_two_to_three();
  story.node("node1").beats = false;
  const TimePoint last_sign = story.now;
  story.wait(4999ms);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  story.wait(1ms);
  EXPECT_EQ(story.count<Stop>("node0"), 1u);
  EXPECT_EQ(story.reason(), "waiting until the lease of node1 is over (1.1 s)");
  story.now = last_sign + 5s + 50ms + 1s - 1ms;
  story.wait(0s);
  EXPECT_EQ(story.round().number, 1u) << "one per cent for its clock and the time to kill have not passed";
  story.wait(1ms);
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.phase(), Phase::kRunning);
}

TEST(CoordinatorLoss, CountsEveryMessageAsASignOfLife) {
  CoordinatorStory story = three_of_two_to_three();
  story.node("node1").beats = false;
  for (int times = 0; times < 10; ++times) {
    story.wait(4s);
    story.say("node1", StatusRequest{1});
  }
  EXPECT_EQ(story.round().number, 1u);
}

TEST(CoordinatorLoss, WaitsNoLongerForALeaseWhenTheSilentNodeSaysThatItsWorkersAreGone) {
  CoordinatorStory story = three_of_two_to_three();
  story.node("node1").beats = false;
  story.node("node1").answers = false;
  story.wait(5s);
  EXPECT_THAT(story.reason(), HasSubstr("the lease of node1"));
  EXPECT_EQ(story.count<Stop>("node1"), 1u);
  story.say("node1", Heartbeat{1});
  EXPECT_EQ(story.reason(), "waiting until node1 has stopped the workers of the last round");
  story.node("node1").answers = story.node("node1").beats = true;
  story.say("node1", NodeReaped{{1, 1}});
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.rank("node1"), 1) << "it is back in its place";
}

TEST(CoordinatorLoss, WaitsNoLongerForALeaseWhenTheSilentNodesConnectionEnds) {
  CoordinatorStory story = three_of_two_to_three();
  story.node("node1").beats = false;
  story.wait(5s);
  story.kill("node1");
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.phase(), Phase::kRunning);
}

TEST(CoordinatorLoss, KeepsTheFenceWhenASilentNodesConnectionBreaks) {
  CoordinatorStory story = three_of_two_to_three();
  story.node("node1").beats = false;
  story.wait(5s);
  story.lose("node1", LossKind::kReset);
  story.wait(500ms);
  EXPECT_THAT(story.reason(), HasSubstr("the lease of node1"));
}

TEST(CoordinatorLoss, LetsANodeResumeABrokenConnectionWithoutDisturbingAnybody) {
  CoordinatorStory story = three_of_two_to_three();
  story.lose("node1", LossKind::kReset);
  story.wait(249ms);
  story.join("node1");
  EXPECT_TRUE(story.last<Welcome>("node1").resumed);
  story.wait(60s);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round().number, 1u);
  EXPECT_EQ(story.count<Stop>("node0") + story.count<Stop>("node1"), 0u);
}

TEST(CoordinatorLoss, GivesABrokenConnectionUpAfterItsGrace) {
  CoordinatorStory story = three_of_two_to_three();
  story.lose("node1", LossKind::kLocal);
  story.wait(250ms);
  EXPECT_EQ(story.last<Stop>("node0").reason, "node1 was lost: its connection broke and it did not come back");
  EXPECT_THAT(story.reason(), HasSubstr("the lease of node1"));
  story.join("node1");  // its workers still run: they are stopped, and the stop is answered
  EXPECT_FALSE(story.last<Welcome>("node1").resumed);
  EXPECT_EQ(story.count<Stop>("node1"), 1u);
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.node("node0").assignment.node_count, 3);
}

TEST(CoordinatorLoss, StopsTheRoundWhenANodeResumesWithoutItsWorkers) {
  CoordinatorStory story = three_of_two_to_three();
  story.lose("node1", LossKind::kReset);
  story.node("node1").work = Work::kReaped;
  story.join("node1");
  EXPECT_FALSE(story.last<Welcome>("node1").resumed);
  EXPECT_EQ(story.last<Stop>("node0").reason,
            "node1 dropped out: its connection broke, and its workers do not run any more");
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.node("node1").assignment.node_count, 3);
}

TEST(CoordinatorLoss, TakesAFailureThatANodeReportsWhenItComesBackForTheCause) {
  CoordinatorStory story = running(CoordinatorStory::fixed(2, 1), {"node0", "node1"});
  story.lose("node1", LossKind::kReset);
  story.node("node1").work = Work::kStopping;
  story.node("node1").answers = false;
  story.join("node1");
  story.say("node1", NodeFailed{{1, 1}, {CoordinatorStory::failure("node1")}});
  story.say("node1", StopAcknowledged{{1, 1}, {CoordinatorStory::failure("node1")}});
  story.node("node1").answers = true;
  story.say("node1", NodeReaped{{1, 1}});
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.node("node0").assignment.restart_count, 1);
  EXPECT_EQ(story.last<Go>("node0").reason, "node1: a worker on node1 exited with code 3");
}

TEST(CoordinatorLoss, StopsTheRoundWhenANodesWorkersAreGoneWithoutAWord) {
  CoordinatorStory story = three_of_two_to_three();
  story.node("node1").work = Work::kReaped;
  story.say("node1", NodeReaped{{1, 1}});
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.last<Stop>("node0").reason, "node1 dropped out: its workers are gone, and nobody had asked for that");
}

TEST(CoordinatorLoss, StopsTheRoundWhenANodeCannotStartItsWorkersAfterAll) {
  CoordinatorStory story = three_of_two_to_three();
  story.say("node1", NotPrepared{{1, 1}, "this node's lease has ended"});
  EXPECT_EQ(story.last<Stop>("node0").reason,
            "node1 dropped out: it could not start them: this node's lease has ended");
}

TEST(CoordinatorLoss, LetsASecondConnectionSupersedeTheFirst) {
  CoordinatorStory story = three_of_two_to_three();
  const ConnectionId first = story.node("node1").connection;
  story.join("node1");
  EXPECT_THAT(story.disconnected, ::testing::ElementsAre(first));
  EXPECT_TRUE(story.last<Welcome>("node1").resumed);
  story.step(PeerLost{first, LossKind::kEndOfStream, ""});
  story.step(PeerSaid{first, NodeFailed{{1, 1}, {}}});
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round().number, 1u);
}

TEST(CoordinatorLoss, SpendsARestartOnALossSoonAfterTheStart) {
  CoordinatorStory story(CoordinatorStory::elastic(1, 2, 1));
  story.join_all({"node0", "node1"});
  story.wait(29s);
  story.kill("node1");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.node("node0").assignment.restart_count, 1);
}

TEST(CoordinatorLoss, EndsTheJobOnALossSoonAfterTheStartWhenNoRestartIsLeft) {
  CoordinatorStory story(CoordinatorStory::elastic(1, 2));
  story.join_all({"node0", "node1"});
  story.kill("node1");
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.done->end.kind, JobEnd::Kind::kFailed);
  EXPECT_EQ(story.done->end.exit_status, kExitRendezvous);
  EXPECT_EQ(story.done->end.report.back(), "Root cause: node1 was lost: its connection ended");
}

TEST(CoordinatorLoss, ShortensAStopUnderWayWhenANodeIsLost) {
  CoordinatorStory story = three_of_two_to_three();
  for (const char* name : {"node0", "node1", "node2"}) story.node(name).answers = false;
  story.say("node2", Goodbye{0, ""});
  EXPECT_EQ(story.last<Stop>("node0").kind, StopKind::kMembership);
  story.kill("node2");
  EXPECT_EQ(story.last<Stop>("node0").kind, StopKind::kMembership) << "it had said that it leaves";
  story.kill("node1");
  EXPECT_EQ(story.last<Stop>("node0").kind, StopKind::kLoss);
  EXPECT_EQ(story.last<Stop>("node0").reason, "node1 was lost: its connection ended");
}

TEST(CoordinatorLoss, BlamesALostNodeForConnectionsThatOthersLost) {
  CoordinatorStory story = running(CoordinatorStory::elastic(1, 3), {"node0", "node1", "node2"});
  story.node("node2").answers = false;
  story.fail("node0", FailureKind::kLostPeer, 1);  // no restart is left: this alone would end the job
  EXPECT_EQ(story.phase(), Phase::kStopping);
  story.now += 5ms;
  story.kill("node2");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.node("node0").assignment.restart_count, 0);
}

TEST(CoordinatorLoss, WaitsForASilentNodeBeforeItBlamesThoseWhoLostTheirConnections) {
  CoordinatorStory story = running(CoordinatorStory::elastic(1, 3), {"node0", "node1", "node2"});
  story.node("node2").beats = false;  // its power has failed
  story.fail("node0", FailureKind::kLostPeer, 1);
  story.fail("node1", FailureKind::kLostPeer, 1);
  story.wait(4999ms);
  EXPECT_FALSE(story.done) << "no restart is left, and none is needed";
  EXPECT_EQ(
      story.reason(),
      "stopping round 1: node0: a worker on node0 exited with code 1; waiting for 1 node to answer or to be lost");
  story.wait(1100ms);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.last<Go>("node0").reason, "node2 was lost: nothing was heard of it for 5 s");
  EXPECT_EQ(story.node("node0").assignment.restart_count, 0);
}

TEST(CoordinatorLoss, TakesWhatASlowNodeTellsForTheCauseOfConnectionsThatOthersLost) {
  CoordinatorStory story = running(CoordinatorStory::elastic(1, 2), {"node0", "node1"});
  story.node("node1").answers = false;
  story.fail("node0", FailureKind::kLostPeer, 1);
  story.wait(2s);
  EXPECT_EQ(story.phase(), Phase::kStopping);
  LocalFailure failure = CoordinatorStory::failure("node1", FailureKind::kSignal, 9);
  failure.age = 2s;
  story.say("node1", StopAcknowledged{{1, 1}, {failure}});
  EXPECT_EQ(story.phase(), Phase::kClosing);
  EXPECT_THAT(story.last<Close>("node0").end.report.back(), HasSubstr("a worker on node1"));
}

TEST(CoordinatorLoss, SpendsARestartWhenTheNodeThatWasWaitedForIsThereAfterAll) {
  CoordinatorStory story = running(CoordinatorStory::elastic(1, 2, 1), {"node0", "node1"});
  story.node("node1").answers = false;
  story.fail("node0", FailureKind::kLostPeer, 1);
  story.wait(2s);
  story.say("node1", StopAcknowledged{{1, 1}, {}});
  story.say("node1", NodeReaped{{1, 1}});
  story.node("node1").answers = true;
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.node("node0").assignment.restart_count, 1);
}

TEST(CoordinatorLoss, DoesNotWaitForEverForANodeThatNeverAnswersButIsHeard) {
  CoordinatorStory story = running(CoordinatorStory::elastic(1, 2), {"node0", "node1"});
  story.node("node1").answers = false;
  story.fail("node0", FailureKind::kLostPeer, 1);
  story.wait(5250ms);
  EXPECT_EQ(story.phase(), Phase::kClosing);
}

TEST(CoordinatorLoss, TakesALostConnectionForTheCauseAtOnceWhenEverybodyAnswers) {
  CoordinatorStory story = running(CoordinatorStory::fixed(2), {"node0", "node1"});
  story.fail("node0", FailureKind::kLostPeer, 1);
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.done->end.kind, JobEnd::Kind::kFailed);
}

TEST(CoordinatorLoss, WaitsForMoreNodesBelowTheLeastNumber) {
  CoordinatorStory story = running(CoordinatorStory::fixed(2), {"node0", "node1"});
  story.kill("node1");
  EXPECT_EQ(story.phase(), Phase::kGathering);
  EXPECT_EQ(story.reason(), "waiting for 1 of 2 nodes: node1 was lost (its connection ended); here: node0");
  story.start_anew("node1");
  story.join("node1");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.rank("node1"), 1);
}

TEST(CoordinatorLoss, CountsANodeAsDoneThatIsLostAfterItFinished) {
  CoordinatorStory story = running(CoordinatorStory::fixed(2), {"node0", "node1"});
  story.finish("node1");
  story.kill("node1");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  story.finish("node0");
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.done->end.kind, JobEnd::Kind::kSuccess);
}

TEST(CoordinatorLoss, BarsANodeThatIsLostAgainAndAgain) {
  CoordinatorStory story = running(CoordinatorStory::elastic(1, 2, 10), {"node0", "node1"});
  for (int times = 0; times < 3; ++times) {
    if (times > 0) {
      story.start_anew("node1");
      story.join("node1");
      story.wait(31s);
      EXPECT_EQ(story.node("node0").assignment.node_count, 2);
    }
    story.kill("node1");
  }
  story.start_anew("node1");
  story.join("node1");
  const Refused& refused = story.last<Refused>("node1");
  EXPECT_TRUE(refused.try_again);
  EXPECT_EQ(refused.after, 10s);
  EXPECT_EQ(refused.reason, "node1 disturbed the job too often and is barred for 10 s");
  story.wait(10s);
  story.join("node1");
  EXPECT_EQ(story.node("node1").connection != 0, true);
}

TEST(CoordinatorLoss, JudgesNobodyBeforeItHasReadWhatArrivedWhileItStoodStill) {
  CoordinatorStory story = three_of_two_to_three();
  story.now += 20s;
  story.say("node0", Heartbeat{1});
  EXPECT_GT(*story.machine.next_deadline(), story.now);
  story.now += 50ms;
  story.say("node1", Heartbeat{1});
  story.say("node2", Heartbeat{1});
  story.wait(60s);
  EXPECT_EQ(story.phase(), Phase::kRunning);
  EXPECT_EQ(story.round().number, 1u);
}

TEST(CoordinatorLoss, JudgesAllTheSameWhenItIsAlwaysLate) {
  CoordinatorStory story = three_of_two_to_three();
  story.node("node1").beats = false;
  for (int times = 0; times < 60 && story.round().number == 1; ++times) {
    story.now += 200ms;
    story.say("node0", Heartbeat{1});
    story.say("node2", Heartbeat{1});
    if (const auto due = story.machine.next_deadline(); due && *due <= story.now - 150ms + 150ms) {
      story.step(CoordinatorDeadline{});
    }
  }
  EXPECT_EQ(story.round().number, 2u);
}

TEST(CoordinatorLoss, ForgetsConnectionsThatNeverJoin) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.step(PeerArrived{99, AgentId{5}, "10.0.0.9"});
  story.wait(5s);
  EXPECT_THAT(story.disconnected, ::testing::ElementsAre(99));
}

// --- Goodbyes. ---

TEST(CoordinatorGoodbye, FormsANewRoundWithoutTheNodeThatLeavesAndSpendsNothing) {
  CoordinatorStory story = three_of_two_to_three();
  story.say("node1", Goodbye{0, "the lease of this machine ends"});
  EXPECT_EQ(story.last<Stop>("node0").reason, "node1 leaves (the lease of this machine ends)");
  EXPECT_EQ(story.round().number, 2u);
  EXPECT_EQ(story.node("node0").assignment.restart_count, 0);
  EXPECT_EQ(story.node("node0").assignment.node_count, 2);
}

TEST(CoordinatorGoodbye, WaitsUntilTheWorkersOfTheNodeThatLeavesAreGone) {
  CoordinatorStory story = three_of_two_to_three();
  story.node("node1").answers = false;
  story.say("node1", Goodbye{0, ""});
  story.wait(10s);
  EXPECT_EQ(story.phase(), Phase::kStopping);
  story.kill("node1");
  EXPECT_EQ(story.round().number, 2u);
}

TEST(CoordinatorGoodbye, FormsNothingForAMomentAfterASignal) {
  CoordinatorStory story = three_of_two_to_three();
  story.say("node1", Goodbye{SIGTERM, ""});
  EXPECT_EQ(story.phase(), Phase::kGathering);
  EXPECT_THAT(story.reason(), HasSubstr("node1 leaves (SIGTERM)"));
  story.wait(250ms);
  EXPECT_EQ(story.phase(), Phase::kRunning);
}

TEST(CoordinatorGoodbye, EndsTheJobOfACoordinatorOfItsOwnWhenAllHaveBeenToldToLeave) {
  CoordinatorConfig config = CoordinatorStory::elastic(1, 2);
  config.own_process = true;
  CoordinatorStory story = running(config, {"node0", "node1"});
  story.say("node0", Goodbye{SIGTERM, ""});
  story.say("node1", Goodbye{SIGTERM, ""});
  story.kill("node0");
  story.kill("node1");
  EXPECT_FALSE(story.done);
  story.wait(250ms);
  ASSERT_TRUE(story.done);
  EXPECT_EQ(story.done->end.kind, JobEnd::Kind::kStopped);
  EXPECT_EQ(story.done->end.exit_status, 143);
  EXPECT_EQ(story.round().number, 1u) << "nothing was formed again";
}

TEST(CoordinatorGoodbye, LetsAFinishedNodeLeaveWithoutDisturbingTheOthers) {
  CoordinatorStory story = running(CoordinatorStory::fixed(2), {"node0", "node1"});
  story.finish("node1");
  story.say("node1", Goodbye{SIGTERM, ""});
  story.kill("node1");
  EXPECT_EQ(story.phase(), Phase::kRunning);
  story.finish("node0");
  EXPECT_TRUE(story.done);
}

TEST(CoordinatorGoodbye, GivesUpAPreparationWithoutBlamingAnybody) {
  CoordinatorStory story(CoordinatorStory::fixed(2));
  story.node("node1").answers = false;
  story.join_all({"node0", "node1"});
  EXPECT_EQ(story.phase(), Phase::kPreparing);
  story.say("node1", Goodbye{0, ""});
  EXPECT_EQ(story.phase(), Phase::kGathering);
  EXPECT_EQ(story.last<Stop>("node0").kind, StopKind::kMembership);
  EXPECT_THAT(story.reason(), HasSubstr("waiting for 1 of 2 nodes: node1 has left"));
}

}  // namespace
}  // namespace ferrun
