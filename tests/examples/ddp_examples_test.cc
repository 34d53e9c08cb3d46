// The examples of examples/ddp, as ferrun starts them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/peer_python.h"
#include "tests/shell_command.h"
#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

using ::testing::HasSubstr;
using testing::shell;
using Ran = testing::ShellOutcome;

const std::string kBin = FERRUN_BIN_DIR "/";

// In a folder of its own, where a launcher leaves what it logs.
Ran run_ranks(int ranks, const std::string& program, const testing::TemporaryDirectory& folder) {
  return shell("cd '" + folder.path().string() + "' && " + kBin + "ferrun --nproc-per-node=" + std::to_string(ranks) +
               " " + program);
}

Ran run_on_two_ranks(const std::string& program) {
  const testing::TemporaryDirectory folder;
  return run_ranks(2, program, folder);
}

// What `line` says behind the last comma, which is equal on ranks that trained one network.
std::string last_words(const std::string& output, const std::string& line) {
  const size_t begin = output.find(line);
  if (begin == std::string::npos) return "no line '" + line + "' in: " + output;
  const std::string text = output.substr(begin, output.find('\n', begin) - begin);
  return text.substr(text.rfind(',') + 1);
}

// What docs/ddp.md and docs/ddp-migration.md show; page_test.py compares them with it.
TEST(DdpPages, EverySectionRunsOnThreeRanks) {
  const testing::TemporaryDirectory folder;
  const Ran ran = run_ranks(3, kBin + "ddp_page", folder);
  EXPECT_EQ(ran.code, 0) << ran.output;
  for (const char* rank : {"rank 0 of 3", "rank 1 of 3", "rank 2 of 3"}) {
    EXPECT_THAT(ran.output, HasSubstr(std::string(rank) + ": every section ran"));
  }
}

class DdpExample : public ::testing::TestWithParam<const char*> {};

TEST_P(DdpExample, TrainsOneNetworkOnTwoRanks) {
  const Ran ran = run_on_two_ranks(kBin + GetParam());
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("loss fell"));
  EXPECT_THAT(ran.output, ::testing::Not(HasSubstr("did not fall")));
  EXPECT_EQ(last_words(ran.output, "rank 0 of 2"), last_words(ran.output, "rank 1 of 2")) << ran.output;
}

INSTANTIATE_TEST_SUITE_P(All, DdpExample,
                         ::testing::Values("custom_comm_hook", "ddp_minimal", "gradient_accumulation",
                                           "language_model " FERRUN_SOURCE_DIR "/DESIGN.md", "mixed_precision",
                                           "sync_batch_norm", "uneven_inputs"),
                         [](const auto& example) {
                           const std::string command = example.param;
                           return command.substr(0, command.find(' '));
                         });

TEST(DdpElasticExample, AKilledAndAStoppedRunGoOnWithAnotherNumberOfRanks) {
  const testing::TemporaryDirectory folder;
  const std::string program = kBin + "elastic_resume checkpoints";
  const Ran killed = run_ranks(2, "env DIE_AT_STEP=60 " + program, folder);
  EXPECT_NE(killed.code, 0) << killed.output;
  // Three ranks take 24 samples a step.
  const Ran stopped = run_ranks(3, "env STOP_AT_STEP=2 " + program, folder);
  EXPECT_EQ(stopped.code, 0) << stopped.output;
  for (const char* rank : {"rank 0 of 3", "rank 1 of 3", "rank 2 of 3"}) {
    EXPECT_THAT(stopped.output, HasSubstr(std::string(rank) + ": goes on at sample 800 of epoch 0"));
    EXPECT_THAT(stopped.output, HasSubstr(std::string(rank) + ": stops at sample 872 of epoch 0"));
  }
  const Ran resumed = run_ranks(2, program, folder);
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  for (const char* rank : {"rank 0 of 2", "rank 1 of 2"}) {
    EXPECT_THAT(resumed.output, HasSubstr(std::string(rank) + ": goes on at sample 872 of epoch 0"));
    EXPECT_THAT(resumed.output, HasSubstr(std::string(rank) + ": every sample once"));
  }
  EXPECT_EQ(last_words(resumed.output, "rank 0 of 2: every"), last_words(resumed.output, "rank 1 of 2: every"));
}

TEST(DdpDataLoaderExample, ARunStoppedInMidEpochEndsAsOneThatWasNot) {
  const testing::TemporaryDirectory folder;
  const std::string program = kBin + "data_loader ";
  const Ran whole = run_ranks(2, program + "whole.pt", folder);
  EXPECT_EQ(whole.code, 0) << whole.output;
  const Ran stopped = run_ranks(2, "env STOP_AT_STEP=50 " + program + "run.pt", folder);
  EXPECT_EQ(stopped.code, 0) << stopped.output;
  EXPECT_THAT(stopped.output, HasSubstr("rank 1 of 2: stops in epoch 1"));
  const Ran resumed = run_ranks(2, program + "run.pt", folder);
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  for (const char* rank : {"rank 0 of 2", "rank 1 of 2"}) {
    EXPECT_THAT(resumed.output, HasSubstr(std::string(rank) + ": goes on in epoch 1, 30 batches of it are left"));
    const std::string ending = std::string(rank) + ": 120 steps, loss fell,";
    EXPECT_THAT(resumed.output, HasSubstr(ending));
    EXPECT_EQ(last_words(resumed.output, ending), last_words(whole.output, ending));
  }
}

TEST(DdpFinetuneExample, TrainsAHeadOnWhatPythonTrainedAndIsReadByPython) {
  FERRUN_NEEDS_PEER();
  const testing::TemporaryDirectory folder;
  const std::string body = folder.file("body.pt"), tuned = folder.file("tuned.pt");
  const std::string python =
      "'" + peer_python() + "' -W ignore " FERRUN_SOURCE_DIR "/examples/ddp/finetune_from_python.py ";
  const Ran made = shell(python + "make " + body);
  ASSERT_EQ(made.code, 0) << made.output;
  const Ran ran = run_ranks(2, kBin + "finetune_from_python " + body + " " + tuned, folder);
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("rank 0 of 2: missing regression.weight regression.bias, unexpected "
                                    "classes.weight classes.bias"));
  EXPECT_THAT(ran.output, HasSubstr("rank 1 of 2: loss fell"));
  const Ran checked = shell(python + "check " + tuned);
  EXPECT_EQ(checked.code, 0) << checked.output;
  EXPECT_THAT(checked.output, HasSubstr("Python: the body is as it was, the head fits"));
}

TEST(DdpMixedExample, CppAndPythonRanksEndWithTheSameBits) {
  FERRUN_NEEDS_PEER();
  const Ran ran = run_on_two_ranks("env MIXED_PROGRAM=" + kBin + "mixed_python_cpp GLOO_SOCKET_IFNAME=lo PYTHON='" +
                                   peer_python() + "' " FERRUN_SOURCE_DIR "/examples/ddp/mixed_python_cpp.sh");
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("rank 0 of 2 (C++): equal weights"));
  EXPECT_THAT(ran.output, HasSubstr("rank 1 of 2 (Python): equal weights"));
}

}  // namespace
}  // namespace ferrun
