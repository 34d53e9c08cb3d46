// C++ and Python ranks in one job: they end with the same bits, also through a kill, a restart and another number of
// ranks, with either side reading the other's checkpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <string>

#include "tests/peer_python.h"
#include "tests/shell_command.h"
#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using testing::ShellOutcome;
using ::testing::SizeIs;

class MixedRanks : public ::testing::Test {
 protected:
  void SetUp() override { FERRUN_NEEDS_PEER(); }

  // `python`: which ranks are Python's, as a shell's pattern of ranks.
  ShellOutcome run(int ranks, const std::string& python, const std::string& file, int last, int die_at = -1) {
    const std::string arguments = "'" + folder_.file(file) + "' " + std::to_string(last) + " " + std::to_string(die_at);
    return testing::shell(
        "cd '" + folder_.path().string() +
        "' && GLOO_SOCKET_IFNAME=lo " FERRUN_BIN_DIR "/ferrun --nproc-per-node=" + std::to_string(ranks) +
        " --max-restarts=1 --no-python sh -c '"
        "case $RANK in " +
        python + ") exec \"" + peer_python() +
        "\" -W ignore \"" FERRUN_SOURCE_DIR
        "/tests/parity/mixed_rank.py\" \"$@\";; esac; "
        "exec \"" FERRUN_BIN_DIR "/mixed_rank\" \"$@\"' rank " +
        arguments);
  }

  testing::TemporaryDirectory folder_;
};

// One line for each rank.
std::multiset<std::string> ends(const std::string& output) {
  static const std::regex line("ends with ([0-9a-f]+)");
  std::multiset<std::string> found;
  for (std::sregex_iterator match(output.begin(), output.end(), line), none; match != none; ++match) {
    found.insert((*match)[1]);
  }
  return found;
}

TEST_F(MixedRanks, EndWithTheSameBitsThroughARestartAndAChangeOfTheWorld) {
  // No rank is Python's, all are, or one.
  const ShellOutcome cpp = run(2, "none", "cpp.pt", 40);
  ASSERT_THAT(ends(cpp.output), SizeIs(2)) << cpp.output;
  const std::string bits = *ends(cpp.output).begin();
  const ShellOutcome python = run(2, "*", "python.pt", 40);
  EXPECT_THAT(ends(python.output), ::testing::AllOf(SizeIs(2), Each(bits))) << python.output;
  const ShellOutcome killed = run(2, "1", "mixed.pt", 40, 25);
  EXPECT_EQ(killed.code, 0) << killed.output;
  EXPECT_THAT(killed.output, HasSubstr("(C++): goes on at step 20"));
  EXPECT_THAT(killed.output, HasSubstr("(Python): goes on at step 20"));
  EXPECT_THAT(ends(killed.output), ::testing::AllOf(SizeIs(2), Each(bits))) << killed.output;

  // Three ranks go on from what a C++ rank wrote, of which a Python rank writes and one is killed; two end it.
  const ShellOutcome three = run(3, "0|2", "mixed.pt", 70, 55);
  EXPECT_EQ(three.code, 0) << three.output;
  EXPECT_THAT(three.output, HasSubstr("rank 1 of 3 (C++): goes on at step 40"));
  EXPECT_THAT(three.output, HasSubstr("rank 1 of 3 (C++): goes on at step 50"));
  EXPECT_THAT(ends(three.output), SizeIs(3)) << three.output;
  EXPECT_THAT(ends(three.output), Each(*ends(three.output).begin()));
  const ShellOutcome two = run(2, "1", "mixed.pt", 80);
  EXPECT_EQ(two.code, 0) << two.output;
  EXPECT_THAT(two.output, HasSubstr("rank 0 of 2 (C++): goes on at step 70"));
  EXPECT_THAT(ends(two.output), SizeIs(2)) << two.output;
  EXPECT_THAT(ends(two.output), Each(*ends(two.output).begin()));
}

}  // namespace
}  // namespace ferrun
