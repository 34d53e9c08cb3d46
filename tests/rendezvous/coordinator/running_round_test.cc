#include "rendezvous/coordinator/running_round.h"

#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/some_members.h"

namespace ferrun {
namespace {

using RunStep = RunningRound::Step;

TEST(RunningRound, SucceedsWhenEveryNodeHasFinished) {
  RunningRound running({2, 30s});
  running.begin(2);
  running.note_finished(1);
  running.note_finished(1);
  EXPECT_EQ(running.step(0, kPartsStart, kPartsStart), RunStep::kRun);
  EXPECT_TRUE(running.has_finished(1));
  EXPECT_FALSE(running.has_finished(0));
  running.note_finished(0);
  EXPECT_EQ(running.step(0, kPartsStart, kPartsStart), RunStep::kSuccess);
  running.begin(2);
  EXPECT_EQ(running.step(0, kPartsStart, kPartsStart), RunStep::kRun) << "another round";
}

TEST(RunningRound, IsDisturbedForThoseWhoJoinOnlySoOften) {
  RunningRound running({4, 30s});
  running.begin(2);
  EXPECT_EQ(running.step(0, kPartsStart, kPartsStart), RunStep::kRun);
  EXPECT_EQ(running.step(1, kPartsStart, kPartsStart), RunStep::kScale);
  running.begin(3);
  EXPECT_EQ(running.scale_at(), kPartsStart + 30s) << "whichever round runs";
  EXPECT_EQ(running.step(1, kPartsStart + 29s, kPartsStart + 29s), RunStep::kRun);
  EXPECT_EQ(running.spare_words({1, 2}, kPartsStart + 29s), "joins disturb the job at most every 30 s: 1 s left");
  EXPECT_EQ(running.step(1, kPartsStart + 31s, kPartsStart + 29s), RunStep::kRun) << "not judged yet";
  EXPECT_EQ(running.step(1, kPartsStart + 31s, kPartsStart + 31s), RunStep::kScale);
  EXPECT_EQ(running.scale_at(), kPartsStart + 61s);
}

TEST(RunningRound, TakesNobodyInWhenItIsFull) {
  RunningRound running({2, 30s});
  running.begin(2);
  EXPECT_TRUE(running.is_full());
  EXPECT_FALSE(running.wants_to_scale(1));
  EXPECT_EQ(running.step(1, kPartsStart, kPartsStart), RunStep::kRun);
  EXPECT_EQ(running.spare_words({1, 1}, kPartsStart),
            "all 2 nodes are there: this one is a spare and takes the place of one that is lost");
}

TEST(RunningRound, TakesNobodyInOnceAWorkerHasSucceeded) {
  RunningRound running({4, 30s});
  running.begin(2);
  EXPECT_EQ(running.spare_words({1, 1}, kPartsStart), "");
  running.note_success();
  EXPECT_FALSE(running.wants_to_scale(1));
  EXPECT_EQ(running.spare_words({1, 1}, kPartsStart),
            "workers of round 1 have finished already: nobody joins any more");
}

}  // namespace
}  // namespace ferrun
