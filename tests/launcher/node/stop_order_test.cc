// What one, two and many signals to ferrun mean.
#include "launcher/node/stop_order.h"

#include <gtest/gtest.h>

#include <csignal>

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using Meaning = StopOrder::Meaning;

constexpr TimePoint kThen{1000s};

SignalArrived passed_on(int signal) { return {signal, false, false, false}; }
SignalArrived direct(int signal) { return {signal, true, false, false}; }
SignalArrived key(int signal) { return {signal, false, true, false}; }

StopOrder usual() { return StopOrder({SIGTERM, SIGINT, SIGHUP, SIGQUIT}); }

TEST(StopOrder, TheFirstOneCounts) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) {
    StopOrder order = usual();
    EXPECT_EQ(order.signal(), 0);
    EXPECT_EQ(order.hear(passed_on(signal), kThen), Meaning::kStop);
    EXPECT_EQ(order.signal(), signal);
  }
}

TEST(StopOrder, TermAndHangupNeverHardenByRepetition) {
  StopOrder order = usual();
  order.hear(passed_on(SIGTERM), kThen);
  for (const Duration later : {Duration(1us), Duration(10ms), Duration(1s), Duration(30s)}) {
    EXPECT_EQ(order.hear(passed_on(SIGTERM), kThen + later), Meaning::kNothing);
    EXPECT_EQ(order.hear(passed_on(SIGHUP), kThen + later), Meaning::kNothing);
  }
  EXPECT_EQ(order.signal(), SIGTERM);
}

TEST(StopOrder, APersonWhoPressesAgainClearlyLaterInsists) {
  for (const int signal : {SIGINT, SIGQUIT}) {
    StopOrder order = usual();
    order.hear(key(signal), kThen);
    EXPECT_EQ(order.hear(key(signal), kThen + 999ms), Meaning::kNothing) << "a key that repeats itself";
    EXPECT_EQ(order.hear(key(signal), kThen + 1s), Meaning::kNow);
  }
}

TEST(StopOrder, BothCopiesAtOnceShowThatEverybodyIsSignalled) {
  for (const bool agent_first : {false, true}) {
    StopOrder order = usual();
    order.hear({SIGTERM, agent_first, false, false}, kThen);
    EXPECT_FALSE(order.everybody_has_it());
    EXPECT_EQ(order.hear({SIGTERM, !agent_first, false, false}, kThen + 3ms), Meaning::kEverybodyHasIt);
    EXPECT_TRUE(order.everybody_has_it());
    EXPECT_EQ(order.hear({SIGTERM, agent_first, false, false}, kThen + 4ms), Meaning::kNothing);
  }
}

TEST(StopOrder, ACopyThatComesMuchLaterIsAnotherSendersWord) {
  StopOrder order = usual();
  order.hear(passed_on(SIGTERM), kThen);
  EXPECT_EQ(order.hear(direct(SIGTERM), kThen + 2s), Meaning::kNothing);
  EXPECT_FALSE(order.everybody_has_it());
}

TEST(StopOrder, WaitsForTheOtherCopyUnlessAKeyWasPressed) {
  StopOrder by_key = usual();
  by_key.hear(key(SIGINT), kThen);
  EXPECT_EQ(by_key.hold(), Duration::zero());
  StopOrder by_scheduler = usual();
  by_scheduler.hear(passed_on(SIGTERM), kThen);
  EXPECT_GT(by_scheduler.hold(), Duration::zero());
  EXPECT_LE(by_scheduler.hold(), 100ms);
}

TEST(StopOrder, WorkersThatASchedulerSignalledAreNotAskedAgain) {
  StopOrder from_above = usual();
  from_above.hear({SIGTERM, false, false, true}, kThen);
  EXPECT_EQ(from_above.ask_again(30s), std::nullopt);
  StopOrder by_name = usual();  // pkill -f ferrun: the workers are called otherwise
  by_name.hear(passed_on(SIGTERM), kThen);
  EXPECT_EQ(by_name.ask_again(30s), Duration(15s));
}

TEST(StopOrder, UserSignalsAreForTheWorkersOnce) {
  for (const int signal : {SIGUSR1, SIGUSR2}) {
    StopOrder order = usual();
    EXPECT_EQ(order.hear(passed_on(signal), kThen), Meaning::kNothing);
    EXPECT_EQ(order.signal(), 0) << "no order to stop";
    ASSERT_TRUE(order.next_deadline());
    EXPECT_EQ(order.take_due(*order.next_deadline() - 1ns), 0);
    EXPECT_EQ(order.take_due(*order.next_deadline()), signal);
    EXPECT_EQ(order.next_deadline(), std::nullopt);
  }
}

TEST(StopOrder, WhatStopsIsTheUsersChoice) {
  StopOrder order({SIGUSR1});
  EXPECT_EQ(order.hear(passed_on(SIGUSR1), kThen), Meaning::kStop);
  EXPECT_EQ(order.hear(passed_on(SIGUSR2), kThen), Meaning::kNothing);
  EXPECT_TRUE(order.next_deadline());
}

TEST(StopOrder, AUserSignalToEveryProcessIsNotPassedOn) {
  StopOrder order = usual();
  order.hear(passed_on(SIGUSR1), kThen);
  order.hear(direct(SIGUSR1), kThen + 1ms);
  EXPECT_EQ(order.next_deadline(), std::nullopt);
  EXPECT_EQ(order.take_due(kThen + 1s), 0);
}

}  // namespace
}  // namespace ferrun
