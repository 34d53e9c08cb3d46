// Exit statuses: ferrun's own tell what happened to its workers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/e2e/launcher_run.h"

namespace ferrun {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(LauncherExit, IsZeroAndSilentWhenAllWorkersSucceed) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=3", "true"});
  EXPECT_EQ(run.code(), 0);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(run.err, "");
  EXPECT_THAT(folder.files(), IsEmpty()) << "temporary folders are gone";
}

TEST(LauncherExit, IsTheFailedWorkersOwnCode) {
  const ScratchFolder folder;
  for (int code = 0; code < 256; ++code) {
    const Finished run = ferrun(folder, {"sh", "-c", "exit " + std::to_string(code)});
    ASSERT_EQ(run.status, ExitStatus::exited(code));
    if (code != 0) {
      ASSERT_THAT(run.err, HasSubstr("exited with code " + std::to_string(code) + "\n"));
    }
  }
}

TEST(LauncherExit, Is128PlusTheSignalThatKilledTheWorker) {
  const ScratchFolder folder;
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV,
                           SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGXCPU, SIGSYS}) {
    const Finished run = ferrun(folder, {"sh", "-c", "ulimit -c 0; kill -" + std::to_string(signal) + " $$"});
    ASSERT_EQ(run.status, ExitStatus::exited(128 + signal));
    ASSERT_THAT(run.err, HasSubstr("killed by " + signal_name(signal)));
  }
}

TEST(LauncherExit, IsThatOfTheFirstFailureNotOfTheOnesItCaused) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=3", "sh", "-c",
                                       "[ $RANK = 1 ] && exit 7; trap 'exit 9' TERM; while :; do sleep 0.05; done"});
  EXPECT_EQ(run.code(), 7);
}

TEST(LauncherExit, IsOneWhenTorchrunsIsAskedFor) {
  const ScratchFolder folder;
  EXPECT_EQ(ferrun(folder, {"--exit-code=torchrun", "sh", "-c", "exit 7"}).code(), 1);
  EXPECT_EQ(ferrun(folder, {"--exit-code=torchrun", "true"}).code(), 0);
}

TEST(LauncherExit, TellsAnExitCodeFromASignal) {
  const ScratchFolder folder;
  EXPECT_THAT(ferrun(folder, {"sh", "-c", "exit 137"}).err, HasSubstr("exited with code 137"));
  EXPECT_THAT(ferrun(folder, {"sh", "-c", "kill -9 $$"}).err, HasSubstr("killed by SIGKILL"));
}

}  // namespace
}  // namespace ferrun
