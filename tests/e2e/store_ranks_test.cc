// Real ranks under the real launcher: C++, Python with torch 2.11, both in one group, and their restarts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

#include "tests/e2e/launcher_run.h"
#include "tests/peer_python.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Importing torch on a busy machine takes its time.
constexpr std::chrono::seconds kPatience{240};

const std::string kCppRank = FERRUN_TEST_BIN_DIR "/store_rank";
const std::string kPythonRank = FERRUN_SOURCE_DIR "/tests/e2e/python_rank.py";

RunningFerrun::Variables python_variables() {
  return {{"PYTHON_EXEC", peer_python()}, {"PYTHONWARNINGS", "ignore"}, {"TORCH_CPP_LOG_LEVEL", "FATAL"}};
}

// The attempts in which every one of `world` ranks said that it had a group.
std::set<int> attempts_that_came_up(const std::string& output, size_t world) {
  std::map<int, std::set<int>> ranks;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string what;
    int attempt = 0, rank = 0;
    if (words >> what >> attempt >> rank && what == "up") ranks[attempt].insert(rank);
  }
  std::set<int> complete;
  for (const auto& [attempt, up] : ranks) {
    if (up.size() == world) complete.insert(attempt);
  }
  return complete;
}

void expect_every_restart_to_come_up(const Finished& run, int restarts) {
  EXPECT_EQ(run.code(), 0) << run.err;
  std::set<int> all;
  for (int attempt = 0; attempt <= restarts; ++attempt) all.insert(attempt);
  EXPECT_EQ(attempts_that_came_up(run.out, 2), all) << run.out << run.err;
}

TEST(CppRanks, FormAGroup) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--nproc-per-node=3", kCppRank, "sum"}, {}, kPatience);
  EXPECT_EQ(run.code(), 0) << run.err;
  EXPECT_THAT(sorted_lines(run.out), ElementsAre("rank 0 of 3: sum 6", "rank 1 of 3: sum 6", "rank 2 of 3: sum 6"));
}

TEST(CppRanks, ComeUpAfterEveryDeathInACollective) {
  for (const char* method : {"spawn", "fork", "forkserver"}) {
    SCOPED_TRACE(method);
    const ScratchFolder folder;
    constexpr int kRestarts = 6;
    const Finished run = ferrun(folder,
                                {"--nproc-per-node=2", "--max-restarts=" + std::to_string(kRestarts),
                                 std::string("--start-method=") + method, kCppRank, "restarts"},
                                {}, kPatience);
    expect_every_restart_to_come_up(run, kRestarts);
  }
}

TEST(CppRanks, ComeUpAfterEveryDeathOnAFixedPort) {
  const ScratchFolder folder;
  const Finished probe = ferrun(folder, {"sh", "-c", "echo $MASTER_PORT"});  // a port that is free
  constexpr int kRestarts = 6;
  const Finished run =
      ferrun(folder,
             {"--nproc-per-node=2", "--max-restarts=" + std::to_string(kRestarts), "--start-method=forkserver",
              "--master-port=" + split_lines(probe.out).at(0), kCppRank, "restarts"},
             {}, kPatience);
  expect_every_restart_to_come_up(run, kRestarts);
}

TEST(PythonRanks, RunAPlainDdpScriptUnchanged) {
  FERRUN_NEEDS_PEER();
  const ScratchFolder folder;
  const Finished run =
      ferrun(folder, {"--nproc_per_node=2", FERRUN_SOURCE_DIR "/tests/e2e/python_ddp.py", "--epochs", "2"},
             python_variables(), kPatience);
  EXPECT_EQ(run.code(), 0) << run.err;
  EXPECT_THAT(sorted_lines(run.out), ElementsAre("rank 0 of 2: trained 2 epochs", "rank 1 of 2: trained 2 epochs"));
}

TEST(PythonRanks, ComeUpAfterEveryDeathInACollective) {
  FERRUN_NEEDS_PEER();
  const ScratchFolder folder;
  constexpr int kRestarts = 2;
  const Finished run =
      ferrun(folder, {"--nproc-per-node=2", "--max-restarts=" + std::to_string(kRestarts), kPythonRank, "restarts"},
             python_variables(), kPatience);
  expect_every_restart_to_come_up(run, kRestarts);
}

TEST(MixedRanks, CppAndPythonFormOneGroup) {
  FERRUN_NEEDS_PEER();
  for (const char* python_ranks : {"0", "12"}) {
    SCOPED_TRACE(std::string("Python ranks: ") + python_ranks);
    const ScratchFolder folder;
    const std::string choose = "case " + std::string(python_ranks) + " in *$RANK*) exec \"$PYTHON_EXEC\" '" +
                               kPythonRank + "' sum;; *) exec '" + kCppRank + "' sum;; esac";
    const Finished run = ferrun(folder, {"--nproc-per-node=3", "sh", "-c", choose}, python_variables(), kPatience);
    EXPECT_EQ(run.code(), 0) << run.err;
    EXPECT_THAT(sorted_lines(run.out), ElementsAre("rank 0 of 3: sum 6", "rank 1 of 3: sum 6", "rank 2 of 3: sum 6"));
  }
}

}  // namespace
}  // namespace ferrun
