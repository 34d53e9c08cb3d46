// The member machine and its coordinator: leases, losses, refusals, leaving, explanations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "rendezvous/job/job_status.h"
#include "tests/rendezvous/member/member_story.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using Phase = MemberMachine::Phase;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

const RoundId kFirstRound{1, 1};

LocalFailure failure() {
  LocalFailure failure;
  failure.report = {"rank 2 exited with code 3"};
  return failure;
}

Welcome resumed(Welcome welcome) {
  welcome.resumed = true;
  return welcome;
}

// --- Leases. ---

TEST(MemberSession, AnsweredHeartbeatsKeepTheWorkersRunning) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.pass(60s);
  EXPECT_THAT(story.effects(), IsEmpty());
  EXPECT_EQ(story.machine.phase(), Phase::kRunning);
  EXPECT_GE(*story.held, story.now + 4s) << "and the sentinel knows";
  EXPECT_EQ(story.machine.lease_end(), story.held);
}

TEST(MemberSession, KillsAtTheEndOfTheLeaseAndNotBefore) {
  MemberStory story;
  story.join();
  const TimePoint joined = story.now;
  story.run_round(1);
  story.pass(5s - 1ns, /*answered=*/false);
  EXPECT_THAT(story.effects(), IsEmpty());
  story.pass(1ns, /*answered=*/false);
  EXPECT_EQ(story.now, joined + 5s);
  EXPECT_THAT(story.effects(), ElementsAre("kill 1", HasSubstr("connecting again"), "dial"));
  EXPECT_EQ(story.machine.reason(), "no answer from the coordinator for 5 s: the lease has ended");
  story.step(WorkersGone{kFirstRound});
  EXPECT_THAT(story.effects(), ElementsAre("no lease"));
  EXPECT_EQ(story.machine.phase(), Phase::kSeeking);
}

TEST(MemberSession, AnEventAfterTheEndOfTheLeaseFindsTheWorkersKilled) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.now += 6s;  // the agent stood still
  story.hear(HeartbeatAnswer{1});
  EXPECT_THAT(story.effects(), Contains("kill 1"));
}

TEST(MemberSession, ReadsWhatHasArrivedDuringAStallBeforeItTakesTheCoordinatorForSilent) {
  MemberStory story;
  story.join();
  story.now += 20s;
  story.step(MemberDeadline{});
  EXPECT_THAT(story.effects(), Not(Contains("dial")));
  story.hear(Close{JobEnd{JobEnd::Kind::kStopped, 143, {"the job was stopped"}}});
  EXPECT_THAT(story.effects(), Contains("done 143"));
}

TEST(MemberSession, HearsWhatWasSaidBeforeItJudgesBySilence) {
  MemberStory story;
  story.join();
  story.pass(4s, false);
  story.now += 1050ms;  // too short for a stall, long enough for the silence to be over
  story.hear(Close{{JobEnd::Kind::kFailed, 3, {"rank 1 exited with code 3"}}});
  EXPECT_THAT(story.effects(), Contains("done 3"));
}

TEST(MemberSession, TakesTheCoordinatorForSilentWhenNothingHasArrivedDuringAStall) {
  MemberStory story;
  story.join();
  story.now += 20s;
  story.step(MemberDeadline{});
  story.effects();
  story.pass(100ms, /*answered=*/false);
  EXPECT_THAT(story.effects(), Contains("dial"));
}

TEST(MemberSession, HeartbeatsGoOnWhileWorkersAreStoppedAndAfterAGoodbye) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.step(LeaveAsked{SIGTERM});
  EXPECT_THAT(story.effects(), ElementsAre("tell Goodbye: node1 got SIGTERM", "stop 1 (end, SIGTERM)"));
  story.pass(20s);
  EXPECT_THAT(story.effects(), IsEmpty()) << "a long grace is not cut short by the lease";
  story.pass(5s, /*answered=*/false);
  EXPECT_THAT(story.effects(), Contains("kill 1"));
}

TEST(MemberSession, DoesNotStartWhatItsLeaseDoesNotCover) {
  MemberStory story;
  story.join(Welcome{1, true, 2s, 1s, "launch", false});
  story.hear(Prepare{MemberStory::second_of_two(1), false, {}});
  story.hear(DialStore{kFirstRound, {"10.0.0.1"}, 4000});
  story.step(StoreAnswered{kFirstRound, "10.0.0.1"});
  story.pass(2s - 1ns, /*answered=*/false);
  story.effects();
  story.hear(Go{kFirstRound, ""});
  EXPECT_THAT(story.effects(), Contains("start 1 with 10.0.0.1:4000"));
  story.pass(1ns, /*answered=*/false);
  EXPECT_THAT(story.effects(), Contains("kill 1"));
}

// --- The coordinator is lost. ---

TEST(MemberSession, AMembersCoordinatorTakesTheWorkersAlong) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.lose(LossKind::kEndOfStream);
  EXPECT_THAT(story.effects(), ElementsAre("stop 1 (loss, SIGTERM)", "dial"));
  EXPECT_EQ(story.machine.reason(), "the coordinator at node0 (10.0.0.1) is gone (end of stream)");
  story.step(WorkersGone{kFirstRound});
  story.reach();
  EXPECT_EQ(story.last_join->past.round, kFirstRound);
  EXPECT_EQ(story.last_join->past.work, Work::kReaped);
  EXPECT_EQ(story.last_join->past.launch_id, "launch");
  story.effects();
  story.hear(MemberStory::hosted());
  EXPECT_THAT(story.effects(), ElementsAre("say: the coordinator is back at node0 (10.0.0.1)", "tell NodeReaped 1"));
}

TEST(MemberSession, AResetConnectionMayBeResumedWithoutDisturbance) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.lose(LossKind::kReset);
  EXPECT_THAT(story.effects(), ElementsAre(HasSubstr("connecting again"), "dial"));
  story.pass(249ms);
  story.reach();
  EXPECT_EQ(story.last_join->past.work, Work::kRunning);
  story.pass(100ms);
  story.hear(resumed(MemberStory::hosted()));
  EXPECT_THAT(story.effects(), ElementsAre("tell Join", HasSubstr("is back")));
  EXPECT_EQ(story.machine.phase(), Phase::kRunning);
  story.pass(20s);
  EXPECT_THAT(story.effects(), IsEmpty());
}

TEST(MemberSession, AResetConnectionThatIsNotResumedStopsTheWorkers) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.lose(LossKind::kReset);
  story.pass(250ms);
  EXPECT_THAT(story.effects(), Contains("stop 1 (loss, SIGTERM)"));
  story.reach();
  EXPECT_EQ(story.last_join->past.work, Work::kStopping);
  story.hear(MemberStory::hosted());
  story.effects();
  story.step(WorkersGone{kFirstRound});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeReaped 1", "no lease"));
}

TEST(MemberSession, WithoutItsOldPlaceItStopsItsWorkers) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.lose(LossKind::kReset);
  story.reach();
  story.effects();
  story.hear(MemberStory::hosted());
  EXPECT_THAT(story.effects(), Contains("stop 1 (loss, SIGTERM)"));
}

TEST(MemberSession, UnderACoordinatorOfItsOwnWorkersRunOnUntilTheLeaseEnds) {
  MemberStory story;
  story.join(MemberStory::alone());
  story.run_round(1);
  story.lose(LossKind::kEndOfStream);
  EXPECT_THAT(story.effects(), ElementsAre(HasSubstr("the workers run on until their lease ends"), "dial"));
  story.pass(30s);
  EXPECT_EQ(story.machine.phase(), Phase::kRunning);
  EXPECT_THAT(story.machine.reason(), AllOf(HasSubstr("to come back"), HasSubstr("run on")));
  story.reach();
  story.hear(resumed(MemberStory::alone()));
  story.effects();
  story.pass(59s);
  EXPECT_EQ(story.machine.phase(), Phase::kRunning) << "a new lease";
  story.lose(LossKind::kEndOfStream);
  story.pass(60s);
  EXPECT_THAT(story.effects(), Contains("kill 1"));
}

TEST(MemberSession, TellsANewCoordinatorWhatTheOldOneMissed) {
  MemberStory story;
  story.join(MemberStory::alone());
  story.run_round(1);
  story.lose(LossKind::kEndOfStream);
  story.step(WorkersFailed{kFirstRound, {failure()}});
  story.now += 3s;
  story.step(WorkersGone{kFirstRound});
  EXPECT_THAT(story.effects(), Not(Contains(StartsWith("tell "))));
  story.reach();
  story.hear(MemberStory::alone());
  EXPECT_THAT(story.effects(),
              ElementsAre("tell Join", HasSubstr("is back"), "tell NodeFailed 1", "tell NodeReaped 1"));
  EXPECT_EQ(story.last_failures.at(0).age, 3s);
  story.hear(Stop{kFirstRound, StopKind::kFailure, "rank 2 failed"});
  story.lose(LossKind::kReset);
  story.reach();
  story.hear(MemberStory::alone());
  EXPECT_THAT(story.effects(), Not(Contains("tell NodeFailed 1"))) << "it has heard of them";
}

TEST(MemberSession, GivesUpWhenTheCoordinatorDoesNotComeBack) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.lose(LossKind::kEndOfStream);
  story.step(WorkersGone{kFirstRound});
  story.step(DialNote{"node0 (10.0.0.1) refused the connection 60 times", false});
  story.effects();
  story.pass(60s);
  const std::vector<std::string> effects = story.effects();
  ASSERT_THAT(effects, SizeIs(::testing::Ge(2u)));
  EXPECT_EQ(effects.back(), "done 75");
  EXPECT_EQ(effects[effects.size() - 2], "hang up");
  EXPECT_EQ(story.end->kind, JobEnd::Kind::kRendezvous);
  EXPECT_THAT(story.end->report.at(0),
              AllOf(HasSubstr("did not come back within 60 s"), HasSubstr("refused the connection 60 times")));
}

TEST(MemberSession, ASpareStaysForAsLongAsARoundRunsWithoutIt) {
  MemberConfig config = MemberStory::plain();
  config.join_timeout = 20s;
  MemberStory story(config);
  story.join();
  story.hear(Waiting{"all 4 nodes are there: this one is a spare", true});
  story.pass(1h);
  EXPECT_EQ(story.machine.phase(), Phase::kWaiting);
  story.hear(Waiting{"waiting for 1 of 4 nodes", false});
  story.pass(19s);
  EXPECT_EQ(story.machine.phase(), Phase::kWaiting);
  story.pass(2s);
  EXPECT_EQ(story.machine.phase(), Phase::kDone) << "then there is no group for it";
}

TEST(MemberSession, ASpareSaysWhatItIsOnceAndThenSeldom) {
  MemberStory story;
  story.join();
  story.hear(Waiting{"all 4 nodes are there: this one is a spare", true});
  const auto lines = [&story](Duration time) {
    story.pass(time);
    return std::ranges::count_if(story.effects(),
                                 [](const auto& text) { return text.starts_with("say: all 4 nodes"); });
  };
  EXPECT_EQ(lines(10s), 1);
  EXPECT_EQ(lines(1h), 12);
}

TEST(MemberSession, AFinishedNodeWhoseRoundIsOverWaitsLikeAnyOther) {
  MemberConfig config = MemberStory::plain();
  config.join_timeout = 20s;
  MemberStory story(config);
  story.join();
  story.run_round(1);
  story.step(AllWorkersSucceeded{kFirstRound});
  EXPECT_EQ(story.machine.phase(), Phase::kFinished);
  story.lose(LossKind::kEndOfStream);
  story.join();  // to another coordinator, which does not resume the round
  EXPECT_EQ(story.machine.phase(), Phase::kWaiting);
  story.pass(21s);
  EXPECT_EQ(story.machine.phase(), Phase::kDone);
}

TEST(MemberSession, GivesUpWhenNoGroupForms) {
  MemberConfig config = MemberStory::plain();
  config.join_timeout = 20s;
  MemberStory story(config);
  story.join();
  story.hear(Waiting{"waiting for 1 of 4 nodes: node3"});
  story.pass(20s);
  EXPECT_THAT(story.effects(), Contains(StartsWith("tell Goodbye: this node became part of no group within 20 s")));
  EXPECT_EQ(story.end->exit_status, 75);
  EXPECT_THAT(story.end->report.at(0), HasSubstr("waiting for 1 of 4 nodes: node3"));
}

TEST(MemberSession, AFailedPreparationDoesNotWindTheClockOfJoining) {
  MemberConfig config = MemberStory::plain();
  config.join_timeout = 20s;
  MemberStory story(config);
  story.join();
  story.pass(15s);
  story.hear(Prepare{MemberStory::second_of_two(1), false, {}});
  story.pass(10s);
  EXPECT_EQ(story.machine.phase(), Phase::kPreparing) << "it is about to become part of one";
  story.hear(Stop{kFirstRound, StopKind::kMembership, "node3 is lost"});
  EXPECT_EQ(story.effects().back(), "done 75");
}

TEST(MemberSession, TriesAnotherConnectionWhenTheCoordinatorIsSilent) {
  MemberStory story;
  story.reach();
  story.pass(10s);
  EXPECT_THAT(story.effects(), Contains("dial")) << "no welcome";
  story.join(MemberStory::alone());
  story.pass(5s, /*answered=*/false);
  EXPECT_THAT(story.effects(), Contains("dial")) << "no answer to five heartbeats";
}

// --- Old coordinators, refusals. ---

TEST(MemberSession, DoesNotFollowACoordinatorThatKnowsLessThanItself) {
  MemberStory story;
  Welcome second = MemberStory::hosted();
  second.incarnation = 2;
  story.join(second);
  story.run_round(4, 2);
  story.lose(LossKind::kEndOfStream);
  story.step(WorkersGone{{2, 4}});
  story.reach();
  story.effects();
  story.hear(MemberStory::hosted());
  EXPECT_THAT(story.effects(), ElementsAre(HasSubstr("knows nothing of round 2.4")));
  EXPECT_EQ(story.machine.phase(), Phase::kSeeking);
  story.pass(1s);
  EXPECT_THAT(story.effects(), Contains("dial"));
}

TEST(MemberSession, EndsWhenItIsRefusedForGood) {
  MemberStory story;
  story.reach();
  story.effects();
  story.hear(Refused{"--max-restarts is 3 on node0 and 0 here", false, {}});
  EXPECT_THAT(story.effects(), ElementsAre("hang up", "done 2"));
  EXPECT_EQ(story.end->kind, JobEnd::Kind::kRefused);
  EXPECT_THAT(story.end->report.at(0), HasSubstr("--max-restarts is 3 on node0 and 0 here"));
}

TEST(MemberSession, TriesAgainAfterARefusalThatMayPass) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.hear(Refused{"node1 is barred", true, 80s});
  EXPECT_THAT(story.effects(), ElementsAre(HasSubstr("node1 is barred"), "stop 1 (loss, SIGTERM)"));
  story.step(WorkersGone{kFirstRound});
  story.lose(LossKind::kEndOfStream);
  EXPECT_THAT(story.effects(), ElementsAre("no lease"));
  story.pass(80s - 1ns);
  EXPECT_THAT(story.effects(), Not(Contains("dial"))) << "and the coordinator's timeout is no matter: it answers";
  story.pass(1ns);
  EXPECT_THAT(story.effects(), Contains("dial"));
}

TEST(MemberSession, ARefusalThatIsRepeatedIsSaidOnce) {
  MemberStory story;
  std::vector<std::string> said;
  for (int attempt = 0; attempt < 4; ++attempt) {
    story.reach();
    story.hear(Refused{"node rank 1 is taken by node9", true, 1s});
    story.pass(1s);
    for (const std::string& effect : story.effects()) {
      if (effect.starts_with("say")) said.push_back(effect);
    }
  }
  EXPECT_THAT(said, ElementsAre(HasSubstr("node rank 1 is taken by node9")));
}

TEST(MemberSession, EndsWhenTheDiallerSaysThatNothingWillHelp) {
  MemberStory story;
  story.effects();
  story.step(DialNote{"node0 (10.0.0.1) has another token", true});
  EXPECT_THAT(story.effects(), ElementsAre("hang up", "done 2"));
}

// --- The end. ---

TEST(MemberSession, ClosesOnceItsWorkersAreGone) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.hear(Close{JobEnd{JobEnd::Kind::kFailed, 3, {"root cause"}}});
  EXPECT_THAT(story.effects(), ElementsAre("stop 1 (end, SIGTERM)"));
  EXPECT_EQ(story.machine.phase(), Phase::kLeaving);
  story.step(WorkersGone{kFirstRound});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeReaped 1", "no lease", "tell Closed", "hang up", "done 3"));
}

TEST(MemberSession, LeavesOnASignalAndKillsWhenSomebodyInsists) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.step(LeaveAsked{SIGINT});
  EXPECT_THAT(story.effects(), ElementsAre("tell Goodbye: node1 got SIGINT", "stop 1 (end, SIGINT)"));
  story.hear(Stop{kFirstRound, StopKind::kMembership, "node1 leaves"});
  EXPECT_THAT(story.effects(), ElementsAre("tell StopAcknowledged 1 with 0"));
  story.step(LeaveAsked{SIGTERM});
  EXPECT_THAT(story.effects(), IsEmpty());
  story.step(LeaveAsked{SIGINT, true});
  story.step(LeaveAsked{SIGINT, true});
  EXPECT_THAT(story.effects(), ElementsAre("kill 1"));
  story.step(WorkersGone{kFirstRound});
  EXPECT_THAT(story.effects(), ElementsAre("tell NodeReaped 1", "no lease", "hang up", "done 130"));
  story.step(LeaveAsked{SIGTERM});
  story.reach();
  EXPECT_THAT(story.effects(), IsEmpty());
}

TEST(MemberSession, LeavesWithoutACoordinator) {
  MemberStory story;
  story.effects();
  story.step(LeaveAsked{SIGTERM});
  EXPECT_THAT(story.effects(), ElementsAre("hang up", "done 143"));
}

TEST(MemberSession, ASuccessThatCrossesASignalIsASuccess) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.step(LeaveAsked{SIGTERM});
  story.hear(Close{JobEnd{}});
  story.step(WorkersGone{kFirstRound});
  EXPECT_EQ(story.effects().back(), "done 0");
  MemberStory other;
  other.join();
  other.run_round(1);
  other.step(LeaveAsked{SIGTERM});
  other.hear(Close{JobEnd{JobEnd::Kind::kFailed, 3, {}}});
  other.step(WorkersGone{kFirstRound});
  EXPECT_EQ(other.effects().back(), "done 143");
}

TEST(MemberSession, LeavesOnItsOwnAccount) {
  MemberStory story;
  story.join();
  story.step(CannotTakePart{JobEnd{JobEnd::Kind::kRefused, 2, {"cannot create /logs"}}});
  EXPECT_THAT(story.effects(), ElementsAre("tell Goodbye: cannot create /logs", "hang up", "done 2"));
}

TEST(MemberSession, BringsAStatusOfTheCoordinatorIntoRange) {
  MemberStory story;
  story.join();
  story.hear(Close{JobEnd{JobEnd::Kind::kFailed, 70000, {}}});
  EXPECT_EQ(story.effects().back(), "done 255");
}

// --- For a person. ---

TEST(MemberSession, ExplainsWhatItWaitsForEveryFewSeconds) {
  MemberStory story;
  story.step(DialNote{"node0 (10.0.0.1) refused the connection 4 times", false});
  story.pass(4999ms);
  EXPECT_THAT(story.effects(), ElementsAre("dial"));
  story.step(DialNote{"node0 (10.0.0.1) refused the connection 5 times", false});
  story.pass(1ms);
  EXPECT_THAT(story.effects(), ElementsAre("say: looking for the coordinator at node0:29400: node0 (10.0.0.1) refused "
                                           "the connection 5 times (5 s)"));
  story.join();
  story.hear(Waiting{"waiting for 2 of 4 nodes"});
  story.hear(Waiting{"waiting for 1 of 4 nodes: node3"});
  story.pass(5s);
  EXPECT_THAT(story.effects(), ElementsAre("say: waiting for 1 of 4 nodes: node3 (10 s)"));
  story.run_round(1);
  story.pass(30s);
  EXPECT_THAT(story.effects(), IsEmpty()) << "nothing to explain";
}

TEST(MemberSession, SaysHowFarAPreparationIs) {
  MemberStory story;
  story.join();
  story.hear(Prepare{MemberStory::second_of_two(1), false, {}});
  EXPECT_EQ(story.machine.reason(), "preparing round 1: waiting for the store of rank 0's node");
  story.hear(DialStore{kFirstRound, {"10.0.0.1"}, 4000});
  EXPECT_EQ(story.machine.reason(), "preparing round 1: connecting to the store of rank 0's node");
  story.step(StoreAnswered{kFirstRound, "10.0.0.1"});
  EXPECT_EQ(story.machine.reason(), "preparing round 1: waiting for the other nodes");
  story.hear(Stop{kFirstRound, StopKind::kMembership, "node3: the store cannot be reached"});
  story.hear(Prepare{MemberStory::second_of_two(2), false, {}});
  EXPECT_EQ(
      story.machine.reason(),
      "preparing round 2: waiting for the store of rank 0's node; the last round could not start: node3: the store "
      "cannot be reached");
  story.hear(DialStore{{1, 2}, {"10.0.0.1"}, 4000});
  story.step(StoreAnswered{{1, 2}, "10.0.0.1"});
  story.hear(Go{{1, 2}, "all are there"});
  EXPECT_EQ(story.machine.reason(), "round 2 runs (all are there)");
}

TEST(MemberSession, AsksTheCoordinatorForTheStatus) {
  MemberStory story;
  story.join();
  story.step(StatusAsked{5});
  EXPECT_THAT(story.effects(), ElementsAre("tell StatusRequest 5"));
  story.hear(StatusReply{6, "{}"});
  EXPECT_THAT(story.effects(), IsEmpty());
  story.hear(StatusReply{5, "{\"x\":1}"});
  story.hear(StatusReply{5, "{\"x\":1}"});
  EXPECT_THAT(story.effects(), ElementsAre("status 5: {\"x\":1}"));
}

TEST(MemberSession, TellsItsOwnStatusWithoutACoordinator) {
  MemberStory story;
  story.join();
  story.run_round(1);
  story.step(StatusAsked{5});
  story.effects();
  story.lose(LossKind::kEndOfStream);
  story.step(StatusAsked{6});
  std::vector<std::string> replies;
  for (const std::string& effect : story.effects()) {
    if (effect.starts_with("status")) replies.push_back(effect);
  }
  ASSERT_THAT(replies, ElementsAre(StartsWith("status 5: "), StartsWith("status 6: ")));
  const Result<JobStatus> status = job_status_from_json(replies[1].substr(10));
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->phase, "stopping");
  EXPECT_EQ(status->round, kFirstRound);
  EXPECT_EQ(status->world, 4);
  EXPECT_THAT(status->last_change, HasSubstr("is gone"));
  ASSERT_EQ(status->nodes.size(), 1u);
  EXPECT_EQ(status->nodes[0].node_rank, 1);
  EXPECT_EQ(status->nodes[0].state, NodeState::kStopping);
  EXPECT_THAT(status->told_by, HasSubstr("node1"));
}

}  // namespace
}  // namespace ferrun
