// Scripts of PyTorch's and other frameworks, written for torchrun: two ranks, of which one is killed in the middle. The
// job has to go on from its checkpoint and to end with one model. scripts/setup --with-frameworks installs what they
// use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <memory>

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
  Finished run(const std::vector<std::string>& program) const { return start("2", program)->finish(); }

  std::unique_ptr<RunningFerrun> start(const std::string& workers, const std::vector<std::string>& program,
                                       const RunningFerrun::Variables& more = {}) const {
    std::vector<std::string> words = {"--nproc-per-node=" + workers, "--max-restarts=1", "--tee=3"};
    words.insert(words.end(), program.begin(), program.end());
    RunningFerrun::Variables variables = {
        {"PYTHON_EXEC", frameworks_python()}, {"PYTHONWARNINGS", "ignore"}, {"PYTHONDONTWRITEBYTECODE", "1"},
        {"TORCH_CPP_LOG_LEVEL", "FATAL"},     {"HF_HUB_OFFLINE", "1"},      {"HOME", folder_.path().string()}};
    variables.insert(more.begin(), more.end());
    return std::make_unique<RunningFerrun>(folder_, words, variables, kPatience);
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
                                           "hf_trainer", "ignite_engine", "ray_local"),
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

// Each replica group is a job of its own: the one that loses its worker comes back and takes the other's state.
TEST_F(Framework, TorchftTakesAReplicaGroupBackThatWasStartedAgain) {
  const std::string address = (folder_.path() / "lighthouse").string();
  const auto lighthouse = start("1", {script("torchft_lighthouse.py"), address});
  const auto stays = start("1", {script("torchft_manager.py"), address}, {{"REPLICA_GROUP_ID", "0"}});
  const auto returns = start("1", {script("torchft_manager.py"), address}, {{"REPLICA_GROUP_ID", "1"}});
  const Finished returned = returns->finish();
  const Finished stayed = stays->finish();
  EXPECT_EQ(returned.code(), 0) << returned.out << returned.err;
  EXPECT_EQ(stayed.code(), 0) << stayed.out << stayed.err;
  EXPECT_THAT(returned.err, HasSubstr("killed by SIGKILL"));
  const std::vector<std::string> after = last_words(returned);
  const std::vector<std::string> before = last_words(stayed);
  ASSERT_EQ(after.size(), 1u) << returned.out;
  ASSERT_EQ(before.size(), 1u) << stayed.out;
  EXPECT_THAT(before[0], MatchesRegex("done attempt 0 from step 0 weights .*"));
  // The step in which it takes the state over may count for nobody.
  EXPECT_THAT(after[0], MatchesRegex("done attempt 1 from step [23] weights .*"));
  EXPECT_EQ(before[0].substr(before[0].find("weights")), after[0].substr(after[0].find("weights")));
  lighthouse->send(SIGTERM);
  lighthouse->finish();
}

// The debugger's prompt has no line end, and shows all the same.
TEST_F(Framework, ADebuggerInARankTalksToTheTerminal) {
  const std::string command = "cd '" + folder_.path().string() + "' && printf 'up\\np answer\\nc\\n' | PYTHON_EXEC='" +
                              frameworks_python() + "' '" FERRUN_BIN_DIR "/ferrun' --nproc-per-node=2 --tee=3 '" +
                              script("breakpoint.py") + "' > out 2> err";
  EXPECT_EQ(std::system(command.c_str()), 0) << folder_.read("err");
  const std::string out = folder_.read("out");
  EXPECT_THAT(out, HasSubstr("[default1]:(Pdb) "));
  EXPECT_THAT(out, HasSubstr("41"));
  EXPECT_THAT(out, HasSubstr("rank 0 goes on"));
  EXPECT_THAT(out, HasSubstr("rank 1 goes on"));
}

}  // namespace
}  // namespace ferrun
