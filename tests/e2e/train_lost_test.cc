// A restart that does not find what its launch has saved: on another node with a disk of its own, or after a cleaner.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "tests/e2e/train_support.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class LostCheckpoint : public Training {
 protected:
  // The same command; each attempt runs in a folder of its own, as nodes with local disks do.
  Words job_on_local_disks(const Words& worker_options) const {
    Words words = job(2, "", worker_options, {"--max-restarts", "2", "--no-python"});
    const auto program = std::ranges::find(words, "worker");
    words.erase(program);
    const std::string folder = directory.file("node") + "$TORCHELASTIC_RESTART_COUNT";
    words.insert(program, {"sh", "-c", "mkdir -p " + folder + " && cd " + folder + " && exec \"$@\"", "sh",
                           worker({}).front(), "train"});
    return words;
  }
};

TEST_F(LostCheckpoint, IsNamedInsteadOfTrainingAnew) {
  Program training(job_on_local_disks({"--output-dir", "out", "--faces", "100", "--epochs", "9"}), options());
  ASSERT_TRUE(training.wait_for_output("epoch 1/9")) << training.err();
  kill(worker_pid(1, 0), SIGKILL);
  EXPECT_FALSE(training.wait().success());
  EXPECT_THAT(training.err(), AllOf(HasSubstr("an earlier attempt of this launch saved out/last_model.pt on "),
                                    HasSubstr("--output-dir must be a folder that all nodes share")));
  EXPECT_THAT(training.out(), Not(HasSubstr("epoch 2/9")));
  EXPECT_FALSE(std::filesystem::exists(directory.file("node1") + "/out/last_model.pt")) << "nothing is begun there";
}

// Another launch with the same command has lost nothing.
TEST_F(LostCheckpoint, IsOfOneLaunch) {
  for (int launch = 0; launch < 2; ++launch) {
    run(job(2, "out"));
    std::filesystem::remove_all(directory.file("out"));
  }
}

}  // namespace
}  // namespace ferrun::testing
