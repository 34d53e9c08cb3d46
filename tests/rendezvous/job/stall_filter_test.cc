#include "rendezvous/job/stall_filter.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStallStart{1000s};

TEST(StallFilter, JudgesADeadlineThatIsNoticedInTime) {
  StallFilter filter(kMachineStall, kStallStart);
  const TimePoint due = kStallStart + 5s;
  filter.notice(due, due - 1ns);
  EXPECT_FALSE(filter.is_over(due));
  filter.notice(due, due);
  EXPECT_TRUE(filter.is_over(due));
  EXPECT_EQ(filter.judged(), due);
}

TEST(StallFilter, TakesALateDeadlineOfABusyProcessForNoStall) {
  StallFilter filter(kMachineStall, kStallStart);
  const TimePoint due = kStallStart + 5s;
  filter.notice(due, due + kMachineStall.late);
  EXPECT_TRUE(filter.is_over(due));
}

TEST(StallFilter, HearsWhatHasArrivedAfterAStallBeforeItJudges) {
  StallFilter filter(kMachineStall, kStallStart);
  const TimePoint due = kStallStart + 5s;
  const TimePoint awake = due + kMachineStall.late + 1ns;
  filter.notice(due, awake);
  EXPECT_FALSE(filter.is_over(due));
  EXPECT_EQ(filter.judged_at(due), awake + kMachineStall.drain);
  EXPECT_EQ(filter.judged(), kStallStart) << "time stands still";
  filter.notice(due, awake + kMachineStall.drain - 1ns);
  EXPECT_FALSE(filter.is_over(due));
  filter.notice(due, awake + kMachineStall.drain);
  EXPECT_TRUE(filter.is_over(due));
}

TEST(StallFilter, JudgesNobodyByADeadlineThatWasMovedMeanwhile) {
  StallFilter filter(kMachineStall, kStallStart);
  const TimePoint due = kStallStart + 5s;
  filter.notice(due, due + 60s);
  const TimePoint moved = due + 65s;  // it was heard of
  filter.notice(moved, due + 60s + kMachineStall.drain);
  EXPECT_FALSE(filter.is_over(moved));
}

TEST(StallFilter, ComesToDecisionsOnAMachineThatIsAlwaysLate) {
  StallFilter filter(kMachineStall, kStallStart);
  const TimePoint due = kStallStart + 5s;
  TimePoint now = due + 900ms;
  filter.notice(due, now);
  now += kMachineStall.drain + 900ms;
  filter.notice(due, now);
  EXPECT_TRUE(filter.is_over(due));
}

TEST(StallFilter, DrainsAgainAfterAStallThatIsLongWhileItDrains) {
  StallFilter filter(kMachineStall, kStallStart);
  const TimePoint due = kStallStart + 5s;
  filter.notice(due, due + 1s);
  const TimePoint again = filter.judged_at(due) + kMachineStall.late_again + 1ns;
  filter.notice(due, again);
  EXPECT_FALSE(filter.is_over(due));
  EXPECT_EQ(filter.judged_at(due), again + kMachineStall.drain);
}

TEST(StallFilter, NeedsNoDeadlineForTimeToPass) {
  StallFilter filter(kMachineStall, kStallStart);
  filter.notice(std::nullopt, kStallStart + 1h);
  EXPECT_EQ(filter.judged(), kStallStart + 1h);
}

TEST(StallFilter, CountsTurnsInARowThatBroughtNothing) {
  StallFilter filter(kLoopStall, kStallStart);
  filter.drain(kStallStart);
  EXPECT_FALSE(filter.turn_over(false, kStallStart));
  EXPECT_FALSE(filter.turn_over(false, kStallStart));
  EXPECT_FALSE(filter.turn_over(true, kStallStart));
  EXPECT_FALSE(filter.turn_over(false, kStallStart));
  EXPECT_FALSE(filter.turn_over(false, kStallStart + 1ms));
  EXPECT_TRUE(filter.turn_over(false, kStallStart + 1ms));
  EXPECT_EQ(filter.judged(), kStallStart + 1ms);
  filter.drain(kStallStart + 1s);
  EXPECT_FALSE(filter.turn_over(false, kStallStart + 1s)) << "each drain has turns of its own";
}

TEST(StallFilter, IsNotHeldUpByAFlood) {
  StallFilter filter(kLoopStall, kStallStart);
  filter.drain(kStallStart);
  EXPECT_FALSE(filter.turn_over(true, kStallStart + kLoopStall.drain - 1ns));
  EXPECT_TRUE(filter.turn_over(true, kStallStart + kLoopStall.drain));
}

}  // namespace
}  // namespace ferrun
