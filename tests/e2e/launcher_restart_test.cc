// Failures, restarts, and what a new attempt sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/launcher_run.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(LauncherRestart, StartsTheWholeGroupAgainAndSucceeds) {
  const ScratchFolder folder;
  // Rank 1 dies when rank 0 has said its line.
  const Finished run =
      ferrun(folder, {"--nproc-per-node=2", "--max-restarts=3", "sh", "-c",
                      "n=$TORCHELASTIC_RESTART_COUNT; echo attempt $n of $TORCHELASTIC_MAX_RESTARTS rank $RANK; "
                      "[ $n = 2 ] && exit 0; [ $RANK = 0 ] && touch said$n && exec sleep 60; "
                      "while [ ! -e said$n ]; do sleep 0.01; done; kill -9 $$"});
  EXPECT_EQ(run.code(), 0);
  EXPECT_THAT(sorted_lines(run.out),
              ElementsAre("attempt 0 of 3 rank 0", "attempt 0 of 3 rank 1", "attempt 1 of 3 rank 0",
                          "attempt 1 of 3 rank 1", "attempt 2 of 3 rank 0", "attempt 2 of 3 rank 1"));
  EXPECT_THAT(run.err, HasSubstr("killed by SIGKILL (killed); starting all workers again (2 restarts left)"));
  EXPECT_THAT(run.err, HasSubstr("starting all workers again (1 restart left)"));
  EXPECT_THAT(run.err, Not(HasSubstr("FAILED")));
}

TEST(LauncherRestart, EndsWithTheLastAttemptsFailureWhenTheBudgetIsSpent) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--max-restarts=2", "sh", "-c", "exit $((10 + TORCHELASTIC_RESTART_COUNT))"});
  EXPECT_EQ(run.code(), 12);
  EXPECT_THAT(run.err, HasSubstr("All 2 restarts (--max-restarts) are spent."));
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr long kGrowthInKilobytes = 1'000'000;  // freed memory stays in quarantine
#else
constexpr long kGrowthInKilobytes = 1024;
#endif

// Descriptors and memory of the agent, as its worker sees them.
TEST(LauncherRestart, AThousandTimesLeaksNothing) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder,
                              {"--max-restarts=1000", "sh", "-c",
                               "case $TORCHELASTIC_RESTART_COUNT in 100|1000) ls /proc/$PPID/fd | wc -l; "
                               "sed -n 's/^VmRSS:[^0-9]*//;T;s/ kB//p' /proc/$PPID/status;; esac; exit 1"},
                              {}, std::chrono::seconds(240));
  EXPECT_EQ(run.code(), 1);
  EXPECT_THAT(run.err, HasSubstr("All 1000 restarts (--max-restarts) are spent."));
  const std::vector<std::string> seen = split_lines(run.out);
  ASSERT_EQ(seen.size(), 4u) << run.out;
  // One that is being closed may still be there.
  EXPECT_LE(std::stol(seen[2]), std::stol(seen[0]) + 2) << run.out;
  EXPECT_LE(std::stol(seen[3]), std::stol(seen[1]) + kGrowthInKilobytes) << run.out;
}

TEST(LauncherRestart, KeepsLaunchAndRunIdButNotAPortThatTheKernelChose) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--max-restarts=1", "--rdzv-id=mine", "sh", "-c",
                                       "echo $FERRUN_LAUNCH_ID $TORCHELASTIC_RUN_ID; echo $MASTER_PORT >> ports; "
                                       "exit $((1 - TORCHELASTIC_RESTART_COUNT))"});
  EXPECT_EQ(run.code(), 0);
  const std::vector<std::string> ids = split_lines(run.out);
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_THAT(ids[0], ::testing::MatchesRegex("[0-9]{8}T[0-9]{6}-[0-9a-f]{8} mine"));
  const std::vector<std::string> ports = split_lines(folder.read("ports"));
  ASSERT_EQ(ports.size(), 2u);
  EXPECT_NE(ports[0], ports[1]);
}

TEST(LauncherRestart, EveryLaunchHasAnIdOfItsOwn) {
  const ScratchFolder folder;
  const std::vector<std::string> show = {"sh", "-c", "echo $FERRUN_LAUNCH_ID $TORCHELASTIC_RUN_ID"};
  EXPECT_NE(ferrun(folder, show).out, ferrun(folder, show).out);
}

TEST(LauncherRestart, WaitsUntilNothingOfTheOldAttemptIsLeft) {
  const ScratchFolder folder;
  // The grandchild leaves its session and its parent; the next attempt must not meet it.
  const Finished run = ferrun(
      folder,
      {"--nproc-per-node=2", "--max-restarts=1", "sh", "-c",
       "if [ $TORCHELASTIC_RESTART_COUNT = 0 ]; then setsid sh -c 'echo $$ > pid.tmp; mv pid.tmp pid; exec sleep 300' & "
       "while [ ! -e pid ]; do sleep 0.01; done; [ $RANK = 0 ] && exit 1; sleep 300; fi; "
       "[ -e /proc/$(cat pid) ] && echo still there; exit 0"});
  EXPECT_EQ(run.code(), 0);
  EXPECT_EQ(run.out, "");
}

TEST(LauncherRestart, LeavesNoGrandchildBehindAfterSuccessEither) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"sh", "-c", "setsid sleep 300 & echo $! > pid"});
  EXPECT_EQ(run.code(), 0);
  const std::string pid = split_lines(folder.read("pid")).at(0);
  EXPECT_FALSE(std::filesystem::exists("/proc/" + pid)) << pid;
  EXPECT_THAT(run.err, HasSubstr("had to kill 1 process that the workers left behind: sleep (pid " + pid + ")"));
}

TEST(LauncherRestart, AFixedPortServesEveryAttempt) {
  const ScratchFolder folder;
  // The kernel's choice for one job is the fixed port of the next: free, and known to be usable.
  const Finished probe = ferrun(folder, {"sh", "-c", "echo $MASTER_PORT"});
  const std::string port = split_lines(probe.out).at(0);
  const Finished run = ferrun(folder, {"--master-port=" + port, "--max-restarts=2", "sh", "-c",
                                       "echo $MASTER_ADDR:$MASTER_PORT; [ $TORCHELASTIC_RESTART_COUNT = 2 ]"});
  EXPECT_EQ(run.code(), 0);
  const std::string expected = "127.0.0.1:" + port;
  EXPECT_THAT(split_lines(run.out), ElementsAre(expected, expected, expected));
}

TEST(LauncherRestart, TheGraceOfAFailureIsNoLongerThanTheShutdownTimeout) {
  const ScratchFolder folder;
  const Finished run =
      ferrun(folder, {"--nproc-per-node=2", "--shutdown-timeout=1", "sh", "-c",
                      "trap '' TERM; [ $RANK = 0 ] && { while [ ! -e up ]; do sleep 0.01; done; exit 4; }; "
                      "touch up; while :; do sleep 0.05; done"});
  EXPECT_EQ(run.code(), 4);
  EXPECT_THAT(run.err, HasSubstr("rank 1 did not end within 1 s: sending SIGKILL"));
  EXPECT_THAT(run.err, HasSubstr("Stopped here by ferrun because of it:\n  rank 1"));
}

// What the manual's table says about exit codes, signals and what is left of the budget.
TEST(LauncherRestart, StopsOnAnExitCodeThatARuleNames) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--max-restarts=3", "--on-exit=40-49=stop", "sh", "-c", "echo once; exit 42"});
  EXPECT_EQ(run.code(), 42);
  EXPECT_EQ(run.out, "once\n");
  EXPECT_THAT(run.err, HasSubstr("\nNo restart: --on-exit=40-49=stop\n"));
  EXPECT_THAT(run.err, Not(HasSubstr("--max-restarts")));
}

TEST(LauncherRestart, StopsOnASignalThatARuleNames) {
  const ScratchFolder folder;
  const Finished run = ferrun(
      folder, {"--max-restarts=3", "--on-exit", "3=restart", "--on-exit=SIGKILL=stop", "sh", "-c", "kill -9 $$"});
  EXPECT_EQ(run.code(), 137);
  EXPECT_THAT(run.err, HasSubstr("\nNo restart: --on-exit=SIGKILL=stop\n"));
}

TEST(LauncherRestart, RestartsOnAnExitCodeThatCostsNothing) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--on-exit=75=restart", "sh", "-c",
                                       "echo $TORCHELASTIC_RESTART_COUNT; echo x >> starts; "
                                       "[ $(wc -l < starts) = 3 ] || exit 75"});
  EXPECT_EQ(run.code(), 0);
  EXPECT_EQ(run.out, "0\n0\n0\n");
  EXPECT_THAT(run.err, HasSubstr("exited with code 75; starting all workers again in "));
  EXPECT_THAT(run.err, HasSubstr(" (--on-exit=75=restart)"));
}

TEST(LauncherRestart, WaitsForTheRestartDelay) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--max-restarts=1", "--restart-delay=0.3", "sh", "-c",
                                       "date +%s%N >> starts; exit $((1 - TORCHELASTIC_RESTART_COUNT))"});
  EXPECT_EQ(run.code(), 0);
  const std::vector<std::string> starts = split_lines(folder.read("starts"));
  ASSERT_EQ(starts.size(), 2u);
  EXPECT_GE(std::stoll(starts[1]) - std::stoll(starts[0]), 300'000'000);
  EXPECT_THAT(run.err, HasSubstr("starting all workers again in 0.4 s (0 restarts left)"));
}

}  // namespace
}  // namespace ferrun
