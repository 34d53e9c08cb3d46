// Scripts of PyTorch's and other frameworks, written for torchrun: two ranks, of which one is killed in the middle. The
// job has to go on from its checkpoint and to end with one model. scripts/setup --with-frameworks installs what they
// use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/e2e/launcher_run.h"
#include "tests/peer_path.h"

namespace ferrun {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

std::string frameworks_python() { return python_of("FERRUN_FRAMEWORKS_PYTHON", "frameworks-2.11.0"); }

class Framework : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!frameworks_python().empty()) return;
    const char* required = std::getenv("FERRUN_REQUIRE_FRAMEWORKS");
    if (required != nullptr && std::string(required) == "1") FAIL() << "the frameworks are required and absent";
    GTEST_SKIP() << "no frameworks: scripts/setup --with-frameworks installs them";
  }

  // A job of two ranks; `program` is what stands behind ferrun's options.
  Finished run(const std::vector<std::string>& program, const RunningFerrun::Variables& more = {}) {
    std::vector<std::string> words = {"--nproc-per-node=2", "--max-restarts=1", "--tee=3"};
    words.insert(words.end(), program.begin(), program.end());
    RunningFerrun::Variables variables = {
        {"PYTHON_EXEC", frameworks_python()}, {"PYTHONWARNINGS", "ignore"}, {"PYTHONDONTWRITEBYTECODE", "1"},
        {"TORCH_CPP_LOG_LEVEL", "FATAL"},     {"HF_HUB_OFFLINE", "1"},      {"HOME", folder_.path().string()}};
    variables.insert(more.begin(), more.end());
    return ferrun(folder_, words, variables, kPatience);
  }

  static std::string script(const std::string& name) { return FERRUN_SOURCE_DIR "/tests/frameworks/scripts/" + name; }

  // Imports of torch and of a framework on a busy machine, and again after the restart.
  static constexpr std::chrono::seconds kPatience{500};

  const ScratchFolder folder_;
};

// The last line of each rank, without its prefix.
std::vector<std::string> last_words(const Finished& end) {
  std::vector<std::string> found;
  for (const std::string& line : split_lines(end.out)) {
    if (const size_t at = line.find("done attempt"); at != std::string::npos) found.push_back(line.substr(at));
  }
  return found;
}

class FrameworkLosesARank : public Framework, public ::testing::WithParamInterface<std::string> {};

TEST_P(FrameworkLosesARank, AndGoesOnFromItsCheckpoint) {
  std::filesystem::create_directory(folder_.path() / "checkpoints");
  const Finished end = run({script(GetParam() + ".py"), (folder_.path() / "checkpoints").string()});
  EXPECT_EQ(end.code(), 0) << end.out << end.err;
  EXPECT_THAT(end.err, HasSubstr("killed by SIGKILL"));
  const std::vector<std::string> words = last_words(end);
  ASSERT_EQ(words.size(), 2u) << end.out << end.err;
  // An asynchronous checkpoint of the last step before the kill may be unfinished.
  EXPECT_THAT(words[0], MatchesRegex("done attempt 1 from step [23] weights .*"));
  EXPECT_EQ(words[0], words[1]) << "the ranks' weights differ";
}

INSTANTIATE_TEST_SUITE_P(Script, FrameworkLosesARank,
                         ::testing::Values("plain_ddp", "fsdp2_dcp", "dcp_async", "lightning_ddp", "accelerate_loop",
                                           "hf_trainer", "ignite_engine"),
                         [](const auto& script) { return script.param; });

// A launcher of accelerate's in each rank, which adds its own configuration to the rank's environment.
TEST_F(Framework, AccelerateLaunchRunsInEachRank) {
  std::filesystem::create_directory(folder_.path() / "checkpoints");
  const Finished end = run({"-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1",
                            script("accelerate_loop.py"), (folder_.path() / "checkpoints").string()});
  EXPECT_EQ(end.code(), 0) << end.out << end.err;
  const std::vector<std::string> words = last_words(end);
  ASSERT_EQ(words.size(), 2u) << end.out << end.err;
  EXPECT_THAT(words[0], HasSubstr("done attempt 1 from step 3"));
  EXPECT_EQ(words[0], words[1]);
}

// A killed rank is the launcher's matter, an exception the wrapper's: the second attempt has a second call.
TEST_F(Framework, NvrxRestartsInProcessOnTheLaunchersStore) {
  const Finished end = run({script("nvrx_inprocess.py")});
  EXPECT_EQ(end.code(), 0) << end.out << end.err;
  const std::vector<std::string> words = last_words(end);
  ASSERT_EQ(words.size(), 2u) << end.out << end.err;
  EXPECT_THAT(words[0], HasSubstr("done attempt 1 from step 1"));
  EXPECT_EQ(words[0], words[1]);
}

}  // namespace
}  // namespace ferrun
