#include "launcher/node/node_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/launcher/node/node_story.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const ExitStatus kTerminated = ExitStatus::signaled(SIGTERM);

FailedWorker left_behind(int local_rank, std::vector<std::string> stderr_tail = {}) {
  FailedWorker worker;
  worker.local_rank = local_rank;
  worker.evidence.stderr_tail = std::move(stderr_tail);
  return worker;
}

TEST(NodeMachine, PreparesWhileItSeeksAndRunsARoundToItsEnd) {
  NodeStory story;
  EXPECT_THAT(story.effects(), ElementsAre("prepare 0", "dial"));
  story.join();
  story.go(1, 3);
  EXPECT_THAT(story.effects(),
              ElementsAre("info: starting 2 workers, ranks 2-3 of 4, round 1 (all are there)", "begin 0", "start 0/0"));
  EXPECT_EQ(story.begun->assignment.restart_count, 3);
  EXPECT_EQ(story.begun->store, (StoreAddress{"10.0.0.1", 4000}));
  EXPECT_EQ(story.begun->launch_id, "launch");
  story.started(0);
  story.started(1);
  EXPECT_THAT(story.effects(), ElementsAre("start 0/1"));
  story.exited(0, 0);
  EXPECT_THAT(story.effects(), ElementsAre("tell WorkerSucceeded"));
  story.exited(1, 0);
  EXPECT_THAT(story.effects(), ElementsAre("sweep 0"));
  story.swept();
  EXPECT_THAT(story.effects(), ElementsAre("prepare 1", "tell NodeFinished", StartsWith("info: all workers")));
  story.hear(Close{JobEnd{}});
  EXPECT_THAT(story.effects(), ElementsAre("tell Closed", "hang up", "done 0"));
  EXPECT_THAT(story.done->lines, IsEmpty());
  EXPECT_EQ(story.machine.next_deadline(), std::nullopt);
}

TEST(NodeMachine, StopsItsOwnAtOnceAndTellsTheFailureWithItsEvidence) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.exited(1, 3);
  EXPECT_THAT(story.effects(), ElementsAre("gather 1")) << "the others wait to hear whether it was the first to fail";
  EXPECT_EQ(story.machine.group()->next_deadline(), story.now + GroupMachine::kJudgement);
  story.now += 2ms;
  story.step(EvidenceGathered{0, {left_behind(1, {"ValueError: bad label"})}});
  EXPECT_THAT(story.effects(), ElementsAre("SIGTERM 0", "warning: rank 3 (local_rank 1, pid 101) exited with code 3",
                                           "tell NodeFailed"));
  EXPECT_EQ(story.machine.group()->next_deadline(), story.now - 2ms + 5s) << "the failure's grace";
  ASSERT_EQ(story.last_failures.size(), 1u);
  EXPECT_EQ(story.last_failures[0].rank, 3);
  EXPECT_EQ(story.last_failures[0].age, 2ms);
  EXPECT_THAT(story.last_failures[0].report, Contains("    ValueError: bad label"));
  story.hear(Stop{story.round(1), StopKind::kFailure, "rank 3 failed"});
  EXPECT_THAT(story.effects(), ElementsAre("tell StopAcknowledged")) << "it is being stopped already";
  story.ended(0, kTerminated);
  EXPECT_THAT(story.effects(), ElementsAre("gather 0", "foresee 1", "sweep 0"));
  story.swept();
  EXPECT_THAT(story.effects(), IsEmpty());
  story.step(EvidenceGathered{0, {left_behind(0)}});
  EXPECT_THAT(story.effects(), ElementsAre("prepare 1", "tell NodeReaped"));
  story.step(AttemptReady{1});
  story.run_round(2, 1);
  EXPECT_EQ(story.begun->attempt, 1) << "no log folder is used twice";
}

TEST(NodeMachine, WaitsWithTheEndOfARoundForItsEvidence) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.ended(1, ExitStatus::signaled(SIGKILL));
  story.ended(0, kTerminated);
  story.swept();
  EXPECT_THAT(story.effects(), Not(Contains("tell NodeReaped")));
  story.step(EvidenceGathered{0, {left_behind(1)}});
  story.step(EvidenceGathered{0, {left_behind(0)}});
  EXPECT_THAT(story.effects(),
              ElementsAre(StartsWith("warning: rank 3"), "tell NodeFailed", "prepare 1", "tell NodeReaped"))
      << "a victim is no failure";
}

TEST(NodeMachine, TellsASecondFailureOfItsOwnButNoVictims) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.ended(1, ExitStatus::signaled(SIGKILL));
  story.ended(0, ExitStatus::signaled(SIGSEGV));
  EXPECT_THAT(story.effects(), ElementsAre("SIGTERM 0", "gather 1", "gather 0", "foresee 1", "sweep 0"));
  story.step(EvidenceGathered{0, {left_behind(1)}});
  story.step(EvidenceGathered{0, {left_behind(0)}});
  EXPECT_THAT(story.effects(), ElementsAre(StartsWith("warning: rank 3"), "tell NodeFailed", "tell NodeFailed"));
  EXPECT_EQ(story.last_failures[0].kind, FailureKind::kSignal);
}

TEST(NodeMachine, AnExitAfterAStopIsAFailureOnlyWithAnErrorFile) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.hear(Stop{story.round(1), StopKind::kFailure, "rank 0 failed"});
  story.exited(0, 1);
  story.exited(1, 1);
  EXPECT_THAT(story.effects(),
              ElementsAre("tell StopAcknowledged", "warning: stopping the workers of round 1: rank 0 failed",
                          "SIGTERM 0", "SIGTERM 1", "gather 0", "gather 1", "foresee 1", "sweep 0"));
  story.step(EvidenceGathered{0, {left_behind(0)}});
  EXPECT_THAT(story.effects(), IsEmpty()) << "its handler's exit";
  FailedWorker with_story = left_behind(1);
  with_story.evidence.error.state = ErrorFile::State::kRead;
  with_story.evidence.error.message = "RuntimeError: Connection closed by peer";
  story.step(EvidenceGathered{0, {with_story}});
  EXPECT_THAT(story.effects(), Contains("tell NodeFailed"));
  EXPECT_EQ(story.last_failures[0].kind, FailureKind::kLostPeer);
}

TEST(NodeMachine, ASignalThatCameTooLateMakesNoVictim) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.hear(Stop{story.round(1), StopKind::kFailure, "rank 0 failed"});
  story.ended(0, kTerminated);
  story.ended(1, kTerminated);
  story.step(WorkerFact{0, SignalMissed{1, SIGTERM}});
  story.effects();
  story.step(EvidenceGathered{0, {left_behind(0)}});
  EXPECT_THAT(story.effects(), IsEmpty());
  story.step(EvidenceGathered{0, {left_behind(1)}});
  EXPECT_THAT(story.effects(), Contains("tell NodeFailed"));
}

// Its own story was told before ferrun's signal met it on its way out.
TEST(NodeMachine, WhoHadFailedBeforeTheSignalIsTheCause) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.exited(0, 1);
  story.ended(1, kTerminated);
  FailedWorker casualty = left_behind(0, {"RuntimeError: Connection closed by peer"});
  FailedWorker culprit = left_behind(1);
  culprit.evidence.error.state = ErrorFile::State::kRead;
  culprit.evidence.error.message = "cannot decode a.jpg";
  story.effects();
  story.step(EvidenceGathered{0, {casualty}});
  EXPECT_EQ(story.last_failures.size(), 0u);
  story.effects();
  ASSERT_EQ(story.last_failures.size(), 1u);
  EXPECT_EQ(story.last_failures[0].kind, FailureKind::kLostPeer);
  story.step(EvidenceGathered{0, {culprit}});
  story.effects();
  EXPECT_EQ(story.last_failures[0].local_rank, 1);
  EXPECT_NE(story.last_failures[0].kind, FailureKind::kLostPeer);
}

TEST(NodeMachine, GivesEveryStopItsGrace) {
  const auto grace_of = [](StopKind kind) {
    NodeStory story;
    story.join();
    story.run_round(1);
    story.hear(Stop{story.round(1), kind, "a reason"});
    return *story.machine.group()->next_deadline() - story.now;
  };
  EXPECT_EQ(grace_of(StopKind::kFailure), 5s);
  EXPECT_EQ(grace_of(StopKind::kLoss), 5s);
  EXPECT_EQ(grace_of(StopKind::kMembership), 30s);
  EXPECT_EQ(grace_of(StopKind::kEnd), 30s);
}

TEST(NodeMachine, AStricterStopShortensTheGraceWithoutASecondSignal) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.hear(Stop{story.round(1), StopKind::kMembership, "node3 joined"});
  story.effects();
  story.hear(Stop{story.round(1), StopKind::kFailure, "rank 0 failed"});
  EXPECT_THAT(story.effects(),
              ElementsAre("tell StopAcknowledged", "warning: stopping the workers of round 1: rank 0 failed"));
  EXPECT_EQ(story.machine.group()->next_deadline(), story.now + 5s);
  for (int second = 0; second < 5; ++second) {  // the lease is renewed meanwhile
    story.now += 1s;
    story.step(DeadlineArrived{});
    story.hear(HeartbeatAnswer{static_cast<uint32_t>(second + 1)});
  }
  EXPECT_THAT(story.effects(), Contains("warning: rank 2, rank 3 did not end within 5 s: sending SIGKILL"));
}

TEST(NodeMachine, KillsWhenTheLeaseEndsWhateverElseHappens) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.now += 5s;
  story.step(WorkerFact{0, RankEnded{0, ExitStatus::exited(0)}});
  EXPECT_THAT(story.effects(),
              ElementsAre("warning: killing the workers of round 1: no answer from the coordinator for 5 s: the lease "
                          "has ended",
                          "SIGKILL 0", "SIGKILL 1",
                          "warning: no answer from the coordinator at node0 (10.0.0.1): connecting again", "dial"));
}

TEST(NodeMachine, WhomTheSentinelHasKilledAtTheEndOfTheLeaseHasNotFailed) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.now += 9s;  // the agent stood still
  story.step(DeadlineArrived{});
  for (const int rank : {0, 1}) {
    story.step(WorkerFact{0, SignalMissed{rank, SIGKILL}});
    story.ended(rank, ExitStatus::signaled(SIGKILL));
  }
  story.step(EvidenceGathered{0, {left_behind(0)}});
  story.step(EvidenceGathered{0, {left_behind(1)}});
  EXPECT_THAT(story.effects(), Not(Contains("tell NodeFailed")));
}

TEST(NodeMachine, HearsOfTheEndBeforeItJudgesTheCoordinatorByItsSilence) {
  NodeStory story;
  story.join();
  story.now += 5050ms;
  story.hear(Close{{JobEnd::Kind::kFailed, 3, {"rank 1 exited with code 3"}}});
  EXPECT_THAT(story.effects(), Contains("done 3"));
}

TEST(NodeMachine, ARoundThatIsStoppedBeforeItsPreparationIsGoneAtOnce) {
  NodeStory story;
  story.step(CoordinatorReached{1, "node0"});
  story.hear(Welcome{1, false, 5s, 1s, "launch", false});
  story.effects();
  story.go(1);
  EXPECT_THAT(story.effects(), IsEmpty()) << "the template is not ready";
  story.hear(Stop{story.round(1), StopKind::kMembership, "node3 joined"});
  EXPECT_THAT(story.effects(), ElementsAre("tell StopAcknowledged", "tell NodeReaped"));
  story.step(AttemptReady{0});
  EXPECT_THAT(story.effects(), IsEmpty());
  story.go(2);
  EXPECT_THAT(story.effects(), Contains("begin 0"));
}

TEST(NodeMachine, ANodeThatCanRunNothingLeavesBeforeItJoins) {
  NodeStory story;
  story.step(AttemptNotReady{0, Error{ErrorKind::kUser, "cannot create /logs"}});
  EXPECT_THAT(story.effects(), ElementsAre("prepare 0", "dial", "hang up", "done 2"));
  EXPECT_THAT(story.done->lines, ElementsAre("ferrun: cannot create /logs"));
}

TEST(NodeMachine, AFailedPreparationLaterFailsTheRoundThatNeedsIt) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.hear(Stop{story.round(1), StopKind::kMembership, "node3 joined"});
  story.ended(0, kTerminated);
  story.ended(1, kTerminated);
  story.swept();
  story.step(EvidenceGathered{0, {left_behind(0), left_behind(1)}});
  story.step(AttemptNotReady{1, Error{ErrorKind::kPlatform, "the disk is full"}});
  EXPECT_THAT(story.effects(), Contains("warning: the disk is full"));
  story.go(2);
  EXPECT_THAT(story.effects(), ElementsAre("prepare 1")) << "it may have passed";
  story.step(AttemptNotReady{1, Error{ErrorKind::kPlatform, "the disk is full"}});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeFailed", "tell NodeReaped"));
  EXPECT_EQ(story.last_failures[0].kind, FailureKind::kNotStarted);
  EXPECT_EQ(story.last_failures[0].status, ExitStatus::exited(75));
  EXPECT_THAT(story.last_failures[0].report, ElementsAre("rank 2 (local_rank 0) did not start: the disk is full"));
}

TEST(NodeMachine, AWorkerThatCannotBeStartedIsAFailure) {
  NodeStory story;
  story.join();
  story.go(1);
  story.effects();
  story.step(WorkerFact{0, RankNotStarted{0, Error{ErrorKind::kUser, "no such file"}}});
  EXPECT_THAT(story.effects(), ElementsAre("gather 0", "foresee 1", "sweep 0"));
  story.step(EvidenceGathered{0, {left_behind(0)}});
  EXPECT_THAT(story.effects(), Contains("tell NodeFailed"));
  EXPECT_EQ(story.last_failures[0].kind, FailureKind::kNotStarted);
  EXPECT_EQ(story.last_failures[0].status, ExitStatus::exited(2));
}

TEST(NodeMachine, PassesASignalOnAndInsistingKills) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.step(SignalArrived{SIGINT, false, true});
  EXPECT_THAT(story.effects(),
              ElementsAre("tell Goodbye", "warning: stopping the workers of round 1: got SIGINT: leaving the job",
                          "SIGINT 0", "SIGINT 1"));
  story.now += 1s;
  story.step(SignalArrived{SIGTERM});
  story.step(SignalArrived{SIGINT, false, true});
  EXPECT_THAT(story.effects(),
              ElementsAre("warning: killing the workers of round 1: got SIGINT again", "SIGKILL 0", "SIGKILL 1"));
  story.ended(0, ExitStatus::signaled(SIGKILL));
  story.ended(1, ExitStatus::signaled(SIGKILL));
  story.swept();
  story.step(EvidenceGathered{0, {left_behind(0), left_behind(1)}});
  EXPECT_THAT(story.effects(),
              ElementsAre("gather 0", "gather 1", "sweep 0", "tell NodeReaped", "hang up", "done 130"));
  EXPECT_THAT(story.done->lines, ElementsAre("ferrun: stopped by SIGINT"));
}

TEST(NodeMachine, ReportsTheJobsFailureWithItsOwnVictims) {
  NodeConfig config = NodeStory::plain();
  config.member.max_restarts = 1;
  NodeStory story(config);
  story.join();
  story.run_round(1);
  story.hear(Close{JobEnd{JobEnd::Kind::kFailed, 3, {"Root cause: rank 0 on node0 exited with code 3"}}});
  story.ended(0, kTerminated);
  story.ended(1, kTerminated);
  story.swept();
  story.step(EvidenceGathered{0, {left_behind(0), left_behind(1)}});
  EXPECT_EQ(story.effects().back(), "done 3");
  const std::string rule(78, '=');
  EXPECT_THAT(story.done->lines, ElementsAre(rule, "ferrun: train.py (job fer) FAILED on 2 nodes; this one is node1",
                                             "Stopped here by ferrun because of it:",
                                             "  rank 2 (local_rank 0, pid 100) killed by SIGTERM (terminated)",
                                             "  rank 3 (local_rank 1, pid 101) killed by SIGTERM (terminated)",
                                             std::string(78, '-'), "Root cause: rank 0 on node0 exited with code 3",
                                             "The one restart (--max-restarts) is spent.", rule));
  EXPECT_EQ(story.done->failed_local_rank, std::nullopt);
}

TEST(NodeMachine, NamesItsOwnFirstFailureForItsParent) {
  NodeConfig config = NodeStory::plain();
  config.torchrun_exit_code = true;
  NodeStory story(config);
  story.join();
  story.run_round(1);
  story.ended(1, ExitStatus::signaled(SIGSEGV));
  story.step(EvidenceGathered{0, {left_behind(1)}});
  story.ended(0, kTerminated);
  story.swept();
  story.step(EvidenceGathered{0, {left_behind(0)}});
  story.hear(Close{JobEnd{JobEnd::Kind::kFailed, 139, {"Root cause: rank 3 on node1"}}});
  EXPECT_EQ(story.effects().back(), "done 1") << "as torchrun does";
  EXPECT_EQ(story.done->failed_local_rank, 1);
  EXPECT_EQ(story.done->failure, "rank 3 (local_rank 1, pid 101) killed by SIGSEGV (segmentation fault)");
  EXPECT_EQ(story.done->failure_status, 139);
}

TEST(NodeMachine, ADeadSentinelEndsEverything) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.step(SentinelDied{});
  EXPECT_THAT(story.effects(), ElementsAre("kill everything", "done 70"));
  story.step(SignalArrived{SIGTERM});
  story.exited(0, 1);
  story.step(DeadlineArrived{});
  EXPECT_THAT(story.effects(), IsEmpty());
}

TEST(NodeMachine, ForksFromTheTemplateUntilThatIsUnusable) {
  NodeConfig config = NodeStory::plain();
  config.with_template = true;
  NodeStory story(config);
  EXPECT_THAT(story.effects(), ElementsAre("prepare 0 with template", "dial"));
  story.join();
  story.go(1);
  EXPECT_THAT(story.effects(), Contains("fork 0/0"));
  story.step(TemplateUnusable{"the template died"});
  story.started(0);
  EXPECT_THAT(story.effects(), ElementsAre("warning: the template died; workers are spawned from now on", "start 0/1"));
}

TEST(NodeMachine, DropsFactsOfOtherAttempts) {
  NodeStory story;
  story.join();
  story.run_round(1);
  for (const int attempt : {-1, 1}) {
    story.step(AttemptReady{attempt});
    story.step(AttemptNotReady{attempt, Error{}});
    story.step(AttemptSwept{attempt});
    story.step(WorkerFact{attempt, RankEnded{0, ExitStatus::exited(9)}});
    story.step(EvidenceGathered{attempt, {left_behind(0)}});
  }
  story.step(AttemptReady{0});
  story.step(AttemptNotReady{0, Error{}});
  story.step(AttemptSwept{0});
  story.step(EvidenceGathered{0, {left_behind(0), left_behind(7)}});
  EXPECT_THAT(story.effects(), IsEmpty());
}

// --- The others of a victim have time for their last words. ---

TEST(NodeMachine, AVictimIsToldAtOnceAndTheOthersMayEndByThemselves) {
  NodeStory story;
  story.join();
  story.run_round(1);
  const TimePoint began = story.now;
  story.exited(0, 1);
  story.step(EvidenceGathered{0, {left_behind(0, {"RuntimeError: Connection closed by peer"})}});
  EXPECT_THAT(story.effects(), ElementsAre("gather 0", StartsWith("warning: rank 2"), "tell NodeFailed"));
  EXPECT_EQ(story.machine.group()->next_deadline(), began + kLastWords);
  story.hear(Stop{story.round(1), StopKind::kLostPeer, "rank 2 lost its peer"});
  EXPECT_THAT(story.effects(), ElementsAre("tell StopAcknowledged"));
  story.now += 1s;
  story.exited(1, 3);
  EXPECT_THAT(story.effects(), ElementsAre("gather 1", "foresee 1", "sweep 0"));
  story.step(EvidenceGathered{0, {left_behind(1, {"ValueError: bad label"})}});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeFailed"));
  EXPECT_EQ(story.last_failures[0].kind, FailureKind::kExit);
}

TEST(NodeMachine, WorkersHaveTimeForLastWordsWhereAnotherNodeHasButVictimsUntilOneIsKnownToHaveFailed) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.hear(Stop{story.round(1), StopKind::kLostPeer, "rank 0 lost its peer"});
  EXPECT_THAT(story.effects(), ElementsAre("tell StopAcknowledged", HasSubstr("rank 0 lost its peer")));
  EXPECT_EQ(story.machine.group()->next_deadline(), story.now + kLastWords);
  story.hear(Stop{story.round(1), StopKind::kFailure, "rank 0 lost its peer"});
  EXPECT_THAT(story.effects(),
              ElementsAre("tell StopAcknowledged", HasSubstr("rank 0 lost its peer"), "SIGTERM 0", "SIGTERM 1"));
}

TEST(NodeMachine, TellsOfAWorkerThatItCutShort) {
  NodeStory story;
  story.join();
  story.run_round(1);
  story.hear(Stop{story.round(1), StopKind::kFailure, "rank 0 failed"});
  story.ended(1, kTerminated);
  FailedWorker culprit = left_behind(1);
  culprit.evidence.stderr_before_stop = {"Traceback (most recent call last):", "ValueError: bad label"};
  story.step(EvidenceGathered{0, {culprit}});
  EXPECT_THAT(story.effects(), Contains("tell NodeFailed"));
  EXPECT_EQ(story.last_failures[0].kind, FailureKind::kCutShort);
  EXPECT_THAT(story.last_failures[0].report.front(),
              HasSubstr("was ending by an exception when ferrun's SIGTERM met it"));
  EXPECT_EQ(story.last_failures[0].status, ExitStatus::exited(1));
}

}  // namespace
}  // namespace ferrun
