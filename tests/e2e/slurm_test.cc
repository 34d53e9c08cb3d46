// ferrun in steps and scripts of the real Slurm: three hosts in network namespaces, each with a slurmd of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "tests/process/process_test_support.h"

namespace ferrun::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class Slurm : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<TemporaryDirectory>();
    // munge takes a socket alone where everybody could reach it.
    std::filesystem::permissions(folder->path(), std::filesystem::perms(0755));
    Program start({FERRUN_SLURM_CLUSTER, "start", folder->file("cluster")});
    const ExitStatus status = start.wait();
    if (status.code() == 77) why_not = start.err();
    ASSERT_TRUE(status.success() || !why_not.empty()) << start.err();
  }
  static void TearDownTestSuite() {
    Program({FERRUN_SLURM_CLUSTER, "stop", folder->file("cluster")}).wait();
    folder.reset();
  }

  void SetUp() override {
    if (!why_not.empty()) GTEST_SKIP() << why_not;
  }

  // At the head node.
  std::unique_ptr<Program> at_head(std::vector<std::string> words) const {
    words.insert(words.begin(), {FERRUN_SLURM_CLUSTER, "run", folder->file("cluster"), "timeout", "100"});
    ProgramOptions options;
    options.environment = {marker.variable(), "DIR=" + directory.path().string()};
    return std::make_unique<Program>(words, options);
  }
  // `srun OPTIONS ferrun --no-python sh -c SCRIPT`.
  std::unique_ptr<Program> step(std::vector<std::string> words, const std::string& script,
                                const std::vector<std::string>& flags = {}) const {
    words.insert(words.begin(), "srun");
    words.emplace_back(FERRUN_BIN_DIR "/ferrun");
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), {"--no-python", "sh", "-c", script});
    return at_head(std::move(words));
  }
  // `sbatch -W OPTIONS` of this script; what it wrote.
  std::string batch(std::vector<std::string> words, const std::string& script) const {
    std::ofstream(directory.file("batch.sh")) << "#!/bin/sh\n" << script;
    words.insert(words.begin(), {"sbatch", "-W", "-o", directory.file("batch.out")});
    words.push_back(directory.file("batch.sh"));
    const auto run = at_head(std::move(words));
    run->wait();
    return run->err() + read_file(directory.file("batch.out"));
  }

  static std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }
  size_t files(const std::string& prefix) const {
    const auto entries = std::filesystem::directory_iterator(directory.path());
    return static_cast<size_t>(std::count_if(begin(entries), end(entries), [&prefix](const auto& entry) {
      return entry.path().filename().string().starts_with(prefix);
    }));
  }

  static constexpr const char* kWho = "echo $RANK/$WORLD_SIZE $(hostname) $MASTER_ADDR";

  static std::unique_ptr<TemporaryDirectory> folder;
  static std::string why_not;
  const JobMarker marker;
  const TemporaryDirectory directory;
};
std::unique_ptr<TemporaryDirectory> Slurm::folder;
std::string Slurm::why_not;

TEST_F(Slurm, AStepIsOneWorldWithoutAnyOption) {
  const auto run = step({"-N2", "--ntasks-per-node=1", "--cpus-per-task=2"}, kWho);
  EXPECT_TRUE(run->wait().success()) << run->err();
  EXPECT_THAT(lines_of(run->out()), UnorderedElementsAre("0/4 host1 10.231.77.1", "1/4 host1 10.231.77.1",
                                                         "2/4 host2 10.231.77.1", "3/4 host2 10.231.77.1"));
}

TEST_F(Slurm, AHeterogeneousJobIsOneWorld) {
  const std::string out =
      batch({"-N1", "-c1", ":", "-N2", "-c2"}, "srun --het-group=0,1 --ntasks-per-node=1 " FERRUN_BIN_DIR
                                               "/ferrun --no-python sh -c '" +
                                                   std::string(kWho) + "'\n");
  EXPECT_THAT(out, AllOf(HasSubstr("0/5 host1"), HasSubstr("1/5 host2"), HasSubstr("2/5 host2"), HasSubstr("3/5 host3"),
                         HasSubstr("4/5 host3")));
}

TEST_F(Slurm, AScriptWrittenForTorchrunRunsWithTheWordExchanged) {
  const std::string out =
      batch({"-N2"},
            "head=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -1)\n"
            "srun --ntasks-per-node=1 " FERRUN_BIN_DIR
            "/ferrun --nnodes=$SLURM_NNODES --nproc_per_node=1"
            " --rdzv_id=$SLURM_JOB_ID --rdzv_backend=c10d --rdzv_endpoint=$head:29500 --no_python sh -c '" +
                std::string(kWho) + "'\n");
  EXPECT_THAT(out, AllOf(HasSubstr("0/2 host"), HasSubstr("1/2 host")));
}

TEST_F(Slurm, StepsBesideEachOtherDoNotMeet) {
  const std::string script =
      "touch $DIR/up.$SLURM_STEP_ID.$RANK; "
      "while [ $(ls $DIR | grep -c ^up) -lt 4 ]; do sleep 0.05; done; echo $WORLD_SIZE";
  const std::string one =
      "srun --ntasks-per-node=1 -c1 --exact " FERRUN_BIN_DIR "/ferrun --no-python sh -c '" + script + "'";
  EXPECT_THAT(lines_of(batch({"-N2", "-c2"}, one + " &\n" + one + " &\nwait\n")),
              ::testing::IsSupersetOf({"2", "2", "2", "2"}));
}

TEST_F(Slurm, TwoLaunchersOnANodeAreRefusedAtOnce) {
  const auto run = step({"-N2", "-n3"}, kWho);
  EXPECT_FALSE(run->wait().success());
  EXPECT_EQ(run->out(), "");
  EXPECT_THAT(run->err(), AllOf(HasSubstr("2 tasks of this step on host1"), HasSubstr("--ntasks-per-node=1")));
  EXPECT_THAT(run->err(), Not(HasSubstr("looking for the coordinator"))) << "the other node waits for nobody";
}

TEST_F(Slurm, ABatchScriptThatForgetsSrunIsTold) {
  EXPECT_THAT(batch({"-N2"}, FERRUN_BIN_DIR "/ferrun --no-python sh -c '" + std::string(kWho) + "'\n"),
              AllOf(HasSubstr("only this node is used"), HasSubstr("0/1 host1")));
}

TEST_F(Slurm, AWorkersFailureIsTheStepsStatusAndStartsAgainBefore) {
  const auto run = step({"-N2", "--ntasks-per-node=1"},
                        "touch $DIR/attempt.$TORCHELASTIC_RESTART_COUNT.$RANK; [ $RANK = 1 ] && exit 7; sleep 60",
                        {"--max-restarts=1", "--min-uptime=0"});
  EXPECT_EQ(run->wait().code(), 7) << run->err();
  EXPECT_EQ(files("attempt.1."), 2U);
  EXPECT_THAT(run->err(), HasSubstr("Root cause: host2: rank 1"));
}

TEST_F(Slurm, WorkersSaveOnceWhenTheJobIsCancelledAndNothingStays) {
  std::ofstream(directory.file("batch.sh"))
      << "#!/bin/sh\nsrun --ntasks-per-node=1 " FERRUN_BIN_DIR "/ferrun --no-python sh " << directory.file("train.sh")
      << "\n";
  std::ofstream(directory.file("train.sh")) << R"(trap 'sleep 1; echo $RANK >> $DIR/saved; exit 0' TERM
(setsid sh -c 'sleep 1000' &)
touch $DIR/up.$RANK
while :; do sleep 0.1; done
)";
  const auto submit = at_head({"sbatch", "--parsable", "-N2", "-o", "/dev/null", directory.file("batch.sh")});
  ASSERT_TRUE(submit->wait().success()) << submit->err();
  ASSERT_TRUE(eventually([this] { return files("up.") == 2; }));
  at_head({"scancel", lines_of(submit->out()).front()})->wait();
  EXPECT_TRUE(eventually([this] { return marker.processes().empty(); })) << "descendants outlive the step";
  EXPECT_THAT(lines_of(read_file(directory.file("saved"))), UnorderedElementsAre("0", "1"));
}

}  // namespace
}  // namespace ferrun::testing
