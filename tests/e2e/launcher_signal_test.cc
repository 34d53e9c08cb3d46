// Signals to ferrun: forwarded once, then force.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/e2e/launcher_run.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Says what it got, and ends. Dash runs a trap only between commands: it waits for a child that it can leave.
const char* const kObeys = R"(trap 'echo $RANK got $GOT; exit 0' $GOT; sleep 60 & echo ready; wait)";
const char* const kIgnores = R"(trap '' TERM INT HUP QUIT; echo ready; while :; do sleep 0.05; done)";

class LauncherSignal : public ::testing::TestWithParam<int> {};

TEST_P(LauncherSignal, IsForwardedToEveryWorkerAndEndsTheJob) {
  const int signal = GetParam();
  const ScratchFolder folder;
  const std::string name = signal_name(signal).substr(3);
  RunningFerrun run(folder, {"--nproc-per-node=2", "--max-restarts=3", "sh", "-c", kObeys}, {{"GOT", name}});
  run.wait_for("ready", 2);
  run.send(signal);
  const Finished end = run.finish();
  EXPECT_EQ(end.code(), 128 + signal);
  EXPECT_THAT(sorted_lines(end.out), ElementsAre("0 got " + name, "1 got " + name, "ready", "ready"));
  EXPECT_THAT(end.err, HasSubstr("stopped by " + signal_name(signal)));
  EXPECT_THAT(end.err, Not(HasSubstr("FAILED")));
}

INSTANTIATE_TEST_SUITE_P(Forwarded, LauncherSignal, ::testing::Values(SIGTERM, SIGINT, SIGHUP, SIGQUIT),
                         [](const auto& test) { return signal_name(test.param); });

TEST(LauncherSignals, CtrlCClearlyLaterKillsWhatDoesNotEnd) {
  const ScratchFolder folder;
  const char* const stays =
      "trap '(sleep 1.2; echo a second later) & echo not yet' TERM; echo ready; while :; do sleep 0.05; done";
  RunningFerrun run(folder, {"--nproc-per-node=2", "--shutdown-timeout=3600", "sh", "-c", stays});
  run.wait_for("ready", 2);
  run.send(SIGTERM);
  run.wait_for("not yet", 2);
  for (const int again : {SIGTERM, SIGHUP, SIGTERM, SIGINT}) run.send(again);
  run.wait_for("a second later", 2);
  run.send(SIGINT);
  const Finished end = run.finish();
  EXPECT_EQ(end.code(), 128 + SIGTERM);
  EXPECT_THAT(end.err, HasSubstr("got SIGINT again"));
}

TEST(LauncherSignals, TheGraceEndsWithAKill) {
  const ScratchFolder folder;
  RunningFerrun run(folder, {"--nproc-per-node=2", "--shutdown-timeout=1", "sh", "-c", kIgnores});
  run.wait_for("ready", 2);
  run.send(SIGTERM);
  const Finished end = run.finish();
  EXPECT_EQ(end.code(), 128 + SIGTERM);
  EXPECT_THAT(end.err, HasSubstr("rank 0, rank 1 did not end within 1 s"));
}

TEST(LauncherSignals, AreThoseThatWereAskedFor) {
  const ScratchFolder folder;
  RunningFerrun run(folder, {"--signals-to-handle=SIGUSR1", "sh", "-c", kObeys}, {{"GOT", "USR1"}});
  run.wait_for("ready");
  run.send(SIGUSR1);
  const Finished end = run.finish();
  EXPECT_EQ(end.code(), 128 + SIGUSR1);
  EXPECT_THAT(end.out, HasSubstr("0 got USR1"));
}

TEST(LauncherSignals, AStoppedWorkerIsStoppedForGood) {
  const ScratchFolder folder;
  RunningFerrun run(folder, {"--shutdown-timeout=3600", "sh", "-c",
                             "trap 'echo bye; exit 0' TERM; echo ready; kill -STOP $$; sleep 60 & wait"});
  run.wait_for("ready");
  run.send(SIGTERM);
  EXPECT_EQ(run.finish().code(), 128 + SIGTERM)
      << "a signal waits for ever in a stopped process unless it is continued";
}

TEST(LauncherSignals, WorkersStartWithDefaultDispositions) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status"});
  for (const std::string& line : split_lines(run.out)) EXPECT_THAT(line, HasSubstr("0000000000000000"));
}

}  // namespace
}  // namespace ferrun
