#include "launcher/workers/worker_timers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace ferrun {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;

// As torch's FileTimerClient writes it.
std::string request(int pid, const std::string& scope, double expires, int signal) {
  return R"({"version": 1, "pid": )" + std::to_string(pid) + R"(, "scope_id": ")" + scope +
         R"(", "expiration_time": )" + std::to_string(expires) + R"(, "signal": )" + std::to_string(signal) + "}";
}

TEST(WorkerTimers, RunOutUnlessTheyAreStoppedOrStartedAnew) {
  WorkerTimers timers;
  EXPECT_EQ(timers.next(), std::nullopt);
  ASSERT_TRUE(timers.take(request(7, "step", 100, SIGKILL)));
  ASSERT_TRUE(timers.take(request(7, "save", 90, SIGKILL)));
  ASSERT_TRUE(timers.take(request(7, "save", -1, 0)));
  ASSERT_TRUE(timers.take(request(8, "step", 95, SIGTERM)));
  ASSERT_TRUE(timers.take(request(8, "step", 110, SIGTERM)));
  EXPECT_THAT(timers.next(), Optional(100.0));
  EXPECT_THAT(timers.take_overruns(99), IsEmpty());
  const auto overruns = timers.take_overruns(100.5);
  ASSERT_THAT(overruns, SizeIs(1));
  EXPECT_EQ(overruns[0].pid, 7);
  EXPECT_EQ(overruns[0].scope, "step");
  EXPECT_EQ(overruns[0].signal, SIGKILL);
  EXPECT_DOUBLE_EQ(overruns[0].since, 0.5);
  EXPECT_THAT(timers.next(), Optional(110.0));
  timers.forget(8);
  EXPECT_EQ(timers.next(), std::nullopt);
}

// torch's order: the first that ran out and has a signal; a signal of 0 or less ends nobody.
TEST(WorkerTimers, OfSeveralTheFirstWithASignalCounts) {
  WorkerTimers timers;
  ASSERT_TRUE(timers.take(request(7, "a", 10, 0)));
  ASSERT_TRUE(timers.take(request(7, "b", 30, SIGTERM)));
  ASSERT_TRUE(timers.take(request(7, "c", 20, SIGKILL)));
  ASSERT_TRUE(timers.take(request(8, "a", 10, -1)));
  const auto overruns = timers.take_overruns(40);
  ASSERT_THAT(overruns, SizeIs(2));
  EXPECT_EQ(overruns[0].scope, "c");
  EXPECT_EQ(overruns[0].signal, SIGKILL);
  EXPECT_EQ(overruns[1].pid, 8);
  EXPECT_EQ(overruns[1].signal, 0);
  EXPECT_EQ(timers.next(), std::nullopt) << "all timers of both are dropped";
}

TEST(WorkerTimers, OnlyWorkersAndProcessesOfTheirSessionsAreEnded) {
  using Action = OverrunVerdict::Action;
  const WorkerTimers::Overrun overrun{7, "step", SIGKILL, 1};
  EXPECT_EQ(judge_overrun(overrun, std::nullopt, /*starting=*/false).action, Action::kNone);
  EXPECT_EQ(judge_overrun(overrun, std::nullopt, /*starting=*/true).action, Action::kLookAgain)
      << "its start may not have been told yet";
  const OverrunVerdict of_worker = judge_overrun(overrun, TimedWorker{7, 3}, false);
  EXPECT_EQ(of_worker.action, Action::kSignalGroup);
  EXPECT_EQ(of_worker.line, "rank 3 (pid 7) overran its timer 'step': ending it with SIGKILL");
  EXPECT_EQ(of_worker.evidence, "it overran its timer 'step' and was sent SIGKILL");
  EXPECT_EQ(judge_overrun(overrun, TimedWorker{6, 3}, false).action, Action::kSignalProcess);
  const OverrunVerdict harmless = judge_overrun({7, "step", 0, 1}, TimedWorker{7, 3}, false);
  EXPECT_EQ(harmless.action, Action::kNone);
  EXPECT_EQ(harmless.line, "rank 3 (pid 7) overran its timer 'step', which asks for no signal");
  EXPECT_EQ(harmless.evidence, "");
}

TEST(WorkerTimers, RefuseWhatIsNoRequest) {
  WorkerTimers timers;
  for (const char* line :
       {"", "{", "[]", "7", R"({"pid": 1})", R"({"pid": "7", "scope_id": "a", "expiration_time": 1, "signal": 9})",
        R"({"pid": 7, "scope_id": "a", "expiration_time": null, "signal": 9})"}) {
    const Status taken = timers.take(line);
    ASSERT_FALSE(taken) << line;
    EXPECT_THAT(taken.error().message, HasSubstr("TORCHELASTIC_TIMER_FILE is no request")) << line;
  }
  EXPECT_EQ(timers.next(), std::nullopt);
}

}  // namespace
}  // namespace ferrun
