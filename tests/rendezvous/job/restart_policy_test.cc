#include "rendezvous/job/restart_policy.h"

#include <gtest/gtest.h>

#include <csignal>
#include <set>

namespace ferrun {
namespace {

using namespace std::chrono_literals;

LocalFailure ended(ExitStatus status, FailureKind kind = FailureKind::kExit) {
  LocalFailure failure;
  failure.status = status;
  failure.kind = kind;
  return failure;
}

ExitRule rule(int first, int last, OnExit then) { return {first, last, false, then, "a rule"}; }

TEST(RestartPolicy, SpendsARestartWhereNoRuleFits) {
  RestartPolicy policy;
  EXPECT_EQ(policy.after(ended(ExitStatus::exited(3))), OnExit::kSpend);
  policy.on_exit = {rule(4, 9, OnExit::kStop)};
  EXPECT_EQ(policy.after(ended(ExitStatus::exited(3))), OnExit::kSpend);
  EXPECT_EQ(policy.rule_for(ended(ExitStatus::exited(3))), nullptr);
}

TEST(RestartPolicy, TakesTheFirstRuleThatFits) {
  RestartPolicy policy;
  policy.on_exit = {rule(40, 49, OnExit::kRestart), rule(1, 255, OnExit::kStop), rule(3, 3, OnExit::kSpend)};
  EXPECT_EQ(policy.after(ended(ExitStatus::exited(40))), OnExit::kRestart);
  EXPECT_EQ(policy.after(ended(ExitStatus::exited(49))), OnExit::kRestart);
  EXPECT_EQ(policy.after(ended(ExitStatus::exited(50))), OnExit::kStop);
  EXPECT_EQ(policy.after(ended(ExitStatus::exited(3))), OnExit::kStop);
}

TEST(RestartPolicy, CountsSignalsAsAShellDoes) {
  RestartPolicy policy;
  policy.on_exit = {rule(128 + SIGKILL, 128 + SIGKILL, OnExit::kRestart)};
  EXPECT_EQ(policy.after(ended(ExitStatus::signaled(SIGKILL), FailureKind::kSignal)), OnExit::kRestart);
  EXPECT_EQ(policy.after(ended(ExitStatus::exited(137))), OnExit::kRestart) << "a script that tells of its child";
  EXPECT_EQ(policy.after(ended(ExitStatus::exited(SIGKILL))), OnExit::kSpend);
}

TEST(RestartPolicy, KnowsWhoWasKilledForMemory) {
  RestartPolicy policy;
  ExitRule memory = rule(0, 0, OnExit::kStop);
  memory.out_of_memory = true;
  policy.on_exit = {memory};
  EXPECT_EQ(policy.after(ended(ExitStatus::signaled(SIGKILL), FailureKind::kSignal)), OnExit::kSpend);
  EXPECT_EQ(policy.after(ended(ExitStatus::signaled(SIGKILL), FailureKind::kOutOfMemory)), OnExit::kStop);
}

TEST(RestartPolicy, HasNoRuleForWhatIsNoWorkersEnd) {
  RestartPolicy policy;
  policy.on_exit = {rule(1, 255, OnExit::kStop)};
  EXPECT_EQ(policy.after(ended(ExitStatus::exited(75), FailureKind::kLostNode)), OnExit::kSpend);
  EXPECT_EQ(policy.after(ended(ExitStatus::exited(2), FailureKind::kNotStarted)), OnExit::kSpend);
}

TEST(RestartDelays, WaitForNothingUnlessTheyAreAskedTo) {
  RestartDelays delays{RestartPolicy{}};
  for (int times = 0; times < 5; ++times) EXPECT_EQ(delays.next(false, false), 0s);
}

RestartPolicy delayed(Duration delay, Duration longest, uint64_t seed = 1) { return {{}, delay, longest, seed}; }

TEST(RestartDelays, DoubleForEachFailureInARowUpToTheLongest) {
  RestartDelays delays(delayed(1s, 5s));
  for (const Duration least : {1s, 2s, 4s, 5s, 5s}) {
    const Duration delay = delays.next(false, false);
    EXPECT_GE(delay, least);
    EXPECT_LE(delay, least * 5 / 4);
  }
  for (int times = 0; times < 1000; ++times) EXPECT_LE(delays.next(false, false), 6250ms);
}

TEST(RestartDelays, BeginAnewAfterARoundThatLasted) {
  RestartDelays delays(delayed(1s, 60s));
  delays.next(false, false);
  delays.next(false, false);
  EXPECT_LE(delays.next(true, false), 1250ms);
  EXPECT_GE(delays.next(false, false), 2s);
}

TEST(RestartDelays, KeepAttemptsThatCostNothingFromRacing) {
  RestartDelays delays{RestartPolicy{}};
  EXPECT_GE(delays.next(false, true), RestartDelays::kFreeDelay);
  EXPECT_GE(delays.next(false, true), 2 * RestartDelays::kFreeDelay);
  EXPECT_GE(delays.next(false, true), 4 * RestartDelays::kFreeDelay);
  EXPECT_LE(delays.next(true, true), RestartDelays::kFreeDelay * 5 / 4);
}

TEST(RestartDelays, HaveARandomPartOfTheirSeed) {
  std::set<Duration> first;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    RestartDelays delays(delayed(1s, 60s, seed));
    RestartDelays same(delayed(1s, 60s, seed));
    const Duration delay = delays.next(false, false);
    EXPECT_EQ(same.next(false, false), delay);
    first.insert(delay);
  }
  EXPECT_EQ(first.size(), 20u);
}

}  // namespace
}  // namespace ferrun
