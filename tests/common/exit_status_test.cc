#include "common/exit_status.h"

#include <gtest/gtest.h>

#include <csignal>

namespace ferrun {
namespace {

TEST(ExitStatus, TellsExitCodeNineFromSigkill) {
  const ExitStatus code = ExitStatus::from_wait_status(9 << 8);
  const ExitStatus signal = ExitStatus::from_wait_status(SIGKILL);
  EXPECT_EQ(code, ExitStatus::exited(9));
  EXPECT_EQ(signal, ExitStatus::signaled(SIGKILL));
  EXPECT_NE(code, signal);
}

TEST(ExitStatus, KeepsTheCoreBitOutOfTheShellCode) {
  const ExitStatus crashed = ExitStatus::from_wait_status(SIGSEGV | 0x80);
  EXPECT_TRUE(crashed.core_dumped());
  EXPECT_EQ(crashed.shell_code(), 128 + SIGSEGV);
  EXPECT_EQ(crashed.torchrun_code(), -SIGSEGV);
  EXPECT_EQ(crashed.describe(), "killed by SIGSEGV (segmentation fault), core dumped");
}

TEST(ExitStatus, DescribesEveryExitCode) {
  for (int code = 0; code < 256; ++code) {
    const ExitStatus status = ExitStatus::from_wait_status(code << 8);
    EXPECT_EQ(status.shell_code(), code);
    EXPECT_EQ(status.success(), code == 0);
    EXPECT_EQ(status.describe(), "exited with code " + std::to_string(code));
  }
}

TEST(SignalName, IsInverseOfSignalNumber) {
  for (int signal = 1; signal < 32; ++signal) EXPECT_EQ(signal_number(signal_name(signal)), signal);
  EXPECT_EQ(signal_number("TERM"), SIGTERM);
  EXPECT_EQ(signal_number("NOPE"), 0);
  EXPECT_EQ(signal_name(SIGRTMIN + 3), "SIGRTMIN+3");
}

}  // namespace
}  // namespace ferrun
