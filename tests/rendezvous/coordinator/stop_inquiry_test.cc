#include "rendezvous/coordinator/stop_inquiry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/some_members.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using Verdict = StopInquiry::Verdict;

class StopInquiryTest : public ::testing::Test {
 protected:
  StopInquiry begin(bool cause_wanted = true, TimePoint at = kPartsStart + 60s) {
    began = at;
    StopInquiry inquiry({200ms, 5250ms, 30s}, StopKind::kFailure, "node0 failed", cause_wanted, roster, at);
    for (int rank = 0; rank < 3; ++rank) inquiry.await(rank);
    return inquiry;
  }
  StopInquiry begin_for_victim() {
    began = kPartsStart + 60s;
    StopInquiry inquiry({200ms, 5250ms, 30s}, StopKind::kLostPeer, "node0 failed", true, roster, began);
    for (int rank = 0; rank < 3; ++rank) inquiry.await(rank);
    tell(inquiry, 0, failure(FailureKind::kLostPeer));
    return inquiry;
  }
  static LocalFailure failure(FailureKind kind, int local_rank = 0, int status = 3) {
    LocalFailure made;
    made.kind = kind;
    made.local_rank = local_rank;
    made.status = ExitStatus::exited(status);
    made.report = {"a worker failed", "its last words"};
    return made;
  }
  void tell(StopInquiry& inquiry, int rank, const LocalFailure& what, Duration later = 0s) {
    inquiry.see_failures(roster.at(rank), rank, {what}, 1ms, began + later);
  }

  SomeMembers members;
  RoundRoster roster = members.round({"node0", "node1", "node2"});
  TimePoint began;
};

TEST_F(StopInquiryTest, IsRipeWhenAllHaveAnsweredOrTheTimeForItIsOver) {
  StopInquiry inquiry = begin();
  tell(inquiry, 0, failure(FailureKind::kExit));
  EXPECT_FALSE(inquiry.is_ripe(began + 200ms - 1ns));
  EXPECT_TRUE(inquiry.is_ripe(began + 200ms));
  inquiry.acknowledge(0);
  inquiry.acknowledge(0);
  inquiry.acknowledge(1);
  EXPECT_FALSE(inquiry.is_ripe(began));
  inquiry.note_reaped(2);
  EXPECT_FALSE(inquiry.awaits(2));
  EXPECT_TRUE(inquiry.has_reaped(2));
  EXPECT_TRUE(inquiry.is_ripe(began));
}

TEST_F(StopInquiryTest, WaitsUntilSilenceWouldShowWhileOnlyConnectionsWereLost) {
  StopInquiry inquiry = begin();
  tell(inquiry, 0, failure(FailureKind::kLostPeer));
  EXPECT_EQ(inquiry.cause_deadline(), began + 5250ms);
  EXPECT_EQ(inquiry.awaited_words(), "; waiting for 3 nodes to answer or to be lost");
  tell(inquiry, 1, failure(FailureKind::kExit));
  EXPECT_EQ(inquiry.cause_deadline(), began + 200ms);
  EXPECT_EQ(inquiry.awaited_words(), "");
}

TEST_F(StopInquiryTest, SpendsARestartForAFailure) {
  StopInquiry inquiry = begin();
  tell(inquiry, 1, failure(FailureKind::kExit, 1));
  tell(inquiry, 0, failure(FailureKind::kLostPeer), 1s);
  const Verdict verdict = inquiry.decide({}, true);
  EXPECT_EQ(verdict.kind, Verdict::Kind::kRestart);
  EXPECT_EQ(verdict.cause, "node1: a worker failed");
  EXPECT_FALSE(inquiry.cause_wanted()) << "it is decided";
}

RestartPolicy policy_of(int status, OnExit then) { return {{{status, status, false, then, "its rule"}}, {}, {}, 0}; }

TEST_F(StopInquiryTest, EndsTheJobByARuleForItsRootCause) {
  StopInquiry inquiry = begin();
  tell(inquiry, 1, failure(FailureKind::kExit, 1, 7));
  tell(inquiry, 0, failure(FailureKind::kLostPeer, 0, 8), 1s);
  const Verdict verdict = inquiry.decide(policy_of(7, OnExit::kStop), true);
  EXPECT_EQ(verdict.kind, Verdict::Kind::kFailed);
  EXPECT_EQ(verdict.end.exit_status, 7);
  EXPECT_EQ(verdict.end.report.back(), "No restart: --on-exit=its rule");
}

TEST_F(StopInquiryTest, AsksForNoRuleOfAVictim) {
  StopInquiry inquiry = begin();
  tell(inquiry, 1, failure(FailureKind::kExit, 1, 7));
  tell(inquiry, 0, failure(FailureKind::kLostPeer, 0, 8), 1s);
  EXPECT_EQ(inquiry.decide(policy_of(8, OnExit::kStop), true).kind, Verdict::Kind::kRestart);
}

TEST_F(StopInquiryTest, RestartsByARuleWithoutACost) {
  StopInquiry inquiry = begin();
  tell(inquiry, 1, failure(FailureKind::kExit, 1, 7));
  const Verdict verdict = inquiry.decide(policy_of(7, OnExit::kRestart), false);
  EXPECT_EQ(verdict.kind, Verdict::Kind::kRestart);
  EXPECT_EQ(verdict.rule, "its rule");
  EXPECT_TRUE(verdict.lasted) << "for a minute";
}

TEST_F(StopInquiryTest, EndsTheJobWithTheStatusOfItsCauseWhenNoRestartIsLeft) {
  StopInquiry inquiry = begin();
  tell(inquiry, 1, failure(FailureKind::kExit, 1, 7));
  tell(inquiry, 0, failure(FailureKind::kLostPeer), 1s);
  const Verdict verdict = inquiry.decide({}, false);
  EXPECT_EQ(verdict.kind, Verdict::Kind::kFailed);
  EXPECT_EQ(verdict.end.exit_status, 7);
  EXPECT_THAT(verdict.end.report, ElementsAre("Failed as well:", ::testing::StartsWith("  node0: a worker failed"),
                                              "Root cause: node1: a worker failed", "its last words"));
}

TEST_F(StopInquiryTest, NeverCallsAFailureASuccess) {
  StopInquiry inquiry = begin();
  tell(inquiry, 1, failure(FailureKind::kExit, 0, 0));
  EXPECT_EQ(inquiry.decide({}, false).end.exit_status, 1);
}

TEST_F(StopInquiryTest, DoesNotTryAgainWhatCannotBeExecuted) {
  StopInquiry inquiry = begin();
  tell(inquiry, 0, failure(FailureKind::kNotStarted, 0, kExitUsage));
  EXPECT_EQ(inquiry.decide({}, true).kind, Verdict::Kind::kFailed);
}

TEST_F(StopInquiryTest, LetsALostNodeCostNothingOnceTheRoundHasRunForAWhile) {
  for (const auto& [uptime, kind] :
       {std::pair{30s, Verdict::Kind::kNextRound}, std::pair{29s, Verdict::Kind::kRestart}}) {
    StopInquiry inquiry = begin(true, kPartsStart + uptime);
    inquiry.see_loss(roster.at(2), 2, began - 5s, "its connection ended", began);
    const Verdict verdict = inquiry.decide({}, true);
    EXPECT_EQ(verdict.kind, kind);
    EXPECT_EQ(verdict.cause, "node2 was lost: its connection ended");
  }
}

TEST_F(StopInquiryTest, TakesARoundOfAnotherCoordinatorForAnOldOne) {
  roster = RoundRoster::adopted({1, 1}, 3, kPartsStart);
  StopInquiry inquiry = begin(true, kPartsStart + 1s);
  inquiry.see_loss(roster.at(0), 0, began, "reset", began);
  EXPECT_EQ(inquiry.decide({}, true).kind, Verdict::Kind::kNextRound);
}

TEST_F(StopInquiryTest, PutsWhatANodeTellsInPlaceOfItsLoss) {
  StopInquiry inquiry = begin();
  inquiry.see_loss(roster.at(1), 1, began, "reset", began);
  tell(inquiry, 1, failure(FailureKind::kExit, 0, 7));
  inquiry.see_loss(roster.at(1), 1, began, "reset", began);
  const Verdict verdict = inquiry.decide({}, false);
  EXPECT_EQ(verdict.end.exit_status, 7);
  EXPECT_THAT(verdict.end.report, ElementsAre("Root cause: node1: a worker failed", "its last words"));
}

TEST_F(StopInquiryTest, CountsAFailureThatIsToldTwiceOnce) {
  StopInquiry inquiry = begin();
  tell(inquiry, 1, failure(FailureKind::kExit));
  tell(inquiry, 1, failure(FailureKind::kExit));
  EXPECT_EQ(inquiry.decide({}, false).end.report.size(), 2u);
}

TEST_F(StopInquiryTest, IgnoresFailuresOfWorkersThatTheNodeDoesNotHave) {
  StopInquiry inquiry = begin();
  tell(inquiry, 1, failure(FailureKind::kExit, 2));
  tell(inquiry, 1, failure(FailureKind::kExit, -1));
  EXPECT_FALSE(inquiry.has_seen_any());
}

TEST_F(StopInquiryTest, LooksForNoCauseWhereNoneIsWanted) {
  StopInquiry inquiry = begin(false);
  tell(inquiry, 1, failure(FailureKind::kExit));
  inquiry.see_loss(roster.at(2), 2, began, "reset", began);
  EXPECT_FALSE(inquiry.has_seen_any());
  EXPECT_EQ(inquiry.kind(), StopKind::kFailure);
  inquiry.turn_into_loss();
  EXPECT_EQ(inquiry.kind(), StopKind::kLoss);
}

TEST_F(StopInquiryTest, WaitsForTheLastWorkersOfAllWhileThereAreButVictims) {
  StopInquiry inquiry = begin_for_victim();
  for (int rank = 0; rank < 3; ++rank) inquiry.acknowledge(rank);
  EXPECT_FALSE(inquiry.is_ripe(began + 1s));
  inquiry.note_reaped(0);
  inquiry.note_reaped(1);
  EXPECT_FALSE(inquiry.is_ripe(began + 1s));
  inquiry.give_up(2);
  EXPECT_TRUE(inquiry.is_ripe(began + 1s)) << "a node that leaves tells no more";
  EXPECT_EQ(inquiry.cause_deadline(), began + 5250ms);
}

TEST_F(StopInquiryTest, AsksAllThatStillRunAgainOnceSomebodyHasExplainedIt) {
  StopInquiry inquiry = begin_for_victim();
  for (int rank = 0; rank < 3; ++rank) inquiry.acknowledge(rank);
  inquiry.note_reaped(2);
  EXPECT_FALSE(inquiry.turn_into_failure(began + 1s)) << "there are but victims";
  tell(inquiry, 1, failure(FailureKind::kExit, 0, 7), 1s);
  EXPECT_TRUE(inquiry.turn_into_failure(began + 1s));
  EXPECT_FALSE(inquiry.turn_into_failure(began + 1s)) << "said once";
  EXPECT_EQ(inquiry.kind(), StopKind::kFailure);
  EXPECT_TRUE(inquiry.awaits(0));
  EXPECT_FALSE(inquiry.awaits(2)) << "it has said all";
  EXPECT_EQ(inquiry.cause_deadline(), began + 1200ms);
  EXPECT_FALSE(inquiry.is_ripe(began + 1s));
  inquiry.acknowledge(0);
  inquiry.acknowledge(1);
  EXPECT_TRUE(inquiry.is_ripe(began + 1s));
  EXPECT_EQ(inquiry.decide({}, false).end.exit_status, 7);
}

}  // namespace
}  // namespace ferrun
