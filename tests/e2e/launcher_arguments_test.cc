// The command line as it reaches the workers, and the variables beside it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/e2e/launcher_run.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Prints every argument on a line of its own.
const std::vector<std::string> kShow = {"printf", "%s\\n"};

std::vector<std::string> operator+(std::vector<std::string> left, const std::vector<std::string>& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

TEST(LauncherArguments, OfTheProgramArriveUntouched) {
  const ScratchFolder folder;
  const std::vector<std::string> odd = {
      "--nproc-per-node=4", "-r", "3", "--",        "$$", "$local_rank", "${local_rank}",
      "two words",          "",   "*", "'quoted\"", "-h", "\xff"};
  const Finished run = ferrun(folder, kShow + odd);
  EXPECT_EQ(run.code(), 0);
  EXPECT_EQ(split_lines(run.out), odd);
}

TEST(LauncherArguments, AreExpandedOnlyOnRequest) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, std::vector<std::string>{"--nproc-per-node=2", "--expand"} + kShow +
                                          std::vector<std::string>{"$local_rank$$"});
  EXPECT_THAT(sorted_lines(run.out), ElementsAre("0$", "1$"));
}

TEST(LauncherArguments, OfLaunchAreThoseOfTorchDistributedLaunch) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"launch", "--nproc_per_node=2", "echo", "--lr", "1"});
  EXPECT_THAT(sorted_lines(run.out), ElementsAre("--local-rank=0 --lr 1", "--local-rank=1 --lr 1")) << run.err;
  EXPECT_EQ(ferrun(folder, {"launch", "--use-env", "echo", "--lr", "1"}).out, "--lr 1\n");
  EXPECT_EQ(ferrun(folder, {"launch", "--help"}).out.find("usage: ferrun launch [options] program"), 0u);
}

// A Python that tells what it was given. It is named by hand, or found by the folder that ferrun is called from.
void write_python(const ScratchFolder& folder, const std::string& path) {
  folder.write(path, "#!/bin/sh\necho \"$0 $*\"\n", /*executable=*/true);
}

TEST(LauncherArguments, PythonIsGivenWhatItRuns) {
  const ScratchFolder folder;
  write_python(folder, "py");
  std::filesystem::create_directory(folder.path() / "app");
  folder.write("app/__main__.py", "");
  folder.write("train", "import torch\n");
  folder.write("script", "#!/usr/bin/env python3\n", /*executable=*/true);
  folder.write("app.pyz", "PK\x03\x04");
  for (const std::string program : {"app", "train", "script", "./script", "app.pyz"}) {
    const Finished run = ferrun(folder, {program, "--lr"}, {{"PYTHON_EXEC", "./py"}});
    EXPECT_EQ(run.out, "./py -u " + program + " --lr\n") << run.err;
  }
}

TEST(LauncherArguments, PythonIsThatOfTheEnvironmentThatFerrunIsCalledFrom) {
  const ScratchFolder folder;
  for (const char* environment : {"venv", "stale"}) {
    std::filesystem::create_directories(folder.path() / environment / "bin");
    folder.write(std::string(environment) + "/pyvenv.cfg", "");
    write_python(folder, std::string(environment) + "/bin/python");
  }
  std::filesystem::create_symlink(FERRUN_BIN_DIR "/ferrun", folder.path() / "venv/bin/torchrun");
  folder.write("train.py", "");
  const std::string call = (folder.path() / "venv/bin/torchrun").string() + " train.py";
  const Finished run = ferrun(folder, {"sh", "-c", call}, {{"VIRTUAL_ENV", (folder.path() / "stale").string()}});
  EXPECT_EQ(run.out, (folder.path() / "venv/bin/python").string() + " -u train.py\n") << run.err;
}

TEST(LauncherArguments, AcceptTorchrunsSpellings) {
  const ScratchFolder folder;
  const std::vector<std::string> rank = {"sh", "-c", "echo $RANK"};
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"--nproc-per-node", "2"},
                                             {"--nproc_per_node=2"},
                                             {"--nproc_p=2"},
                                             {"--nproc-per-node=1", "--nproc-per-node=2"},
                                             {"--standalone", "--nnodes=1:1", "--nproc=2"},
                                             {"--nproc=2", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "--"},
                                             {"--nproc=2", "--", "--"},
                                             {"--nproc=2", "--standalone", "--node-rank=1", "--logs-specs=default"}}) {
    const Finished run = ferrun(folder, words + rank);
    EXPECT_EQ(run.code(), 0) << run.err;
    EXPECT_THAT(sorted_lines(run.out), ElementsAre("0", "1"));
  }
}

TEST(LauncherArguments, ComeFromPetVariablesBelowTheCommandLine) {
  const ScratchFolder folder;
  const std::vector<std::string> rank = {"sh", "-c", "echo $RANK $ROLE_NAME"};
  const RunningFerrun::Variables variables = {{"PET_NPROC_PER_NODE", "2"}, {"PET_ROLE", "pet"}, {"PET_STANDALONE", ""}};
  EXPECT_THAT(sorted_lines(ferrun(folder, rank, variables).out), ElementsAre("0 pet", "1 pet"));
  EXPECT_THAT(sorted_lines(ferrun(folder, std::vector<std::string>{"--nproc-per-node=1"} + rank, variables).out),
              ElementsAre("0 pet"));
  const Finished bad = ferrun(folder, rank, {{"PET_MAX_RESTARTS", "abc"}});
  EXPECT_EQ(bad.code(), 2);
  EXPECT_EQ(bad.err, "ferrun: PET_MAX_RESTARTS=abc: expected a whole number, 0 or more (see ferrun --help)\n");
}

TEST(LauncherArguments, TellWorkersTheirPlace) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder,
                              {"--nproc-per-node=2", "--role=tr", "--master-addr=localhost", "sh", "-c",
                               "echo $RANK $LOCAL_RANK $GROUP_RANK $ROLE_RANK $ROLE_NAME $WORLD_SIZE $LOCAL_WORLD_SIZE "
                               "$GROUP_WORLD_SIZE $ROLE_WORLD_SIZE $MASTER_ADDR $TORCHELASTIC_USE_AGENT_STORE "
                               "$OMP_NUM_THREADS $TORCH_NCCL_ASYNC_ERROR_HANDLING $MINE"},
                              {{"RANK", "9"}, {"WORLD_SIZE", "99"}, {"MASTER_ADDR", "pod"}, {"MINE", "kept"}});
  EXPECT_THAT(sorted_lines(run.out),
              ElementsAre("0 0 0 0 tr 2 2 1 2 localhost True 1 1 kept", "1 1 0 1 tr 2 2 1 2 localhost True 1 1 kept"));
}

TEST(LauncherArguments, LeaveThreadsAloneForASingleWorkerOrWhenTheUserHasChosen) {
  const ScratchFolder folder;
  const std::vector<std::string> show = {"sh", "-c", "echo ${OMP_NUM_THREADS-none}"};
  EXPECT_EQ(ferrun(folder, show).out, "none\n");
  EXPECT_EQ(ferrun(folder, show, {{"OMP_NUM_THREADS", "6"}}).out, "6\n");
}

TEST(LauncherArguments, AWorkerHasASessionOfItsOwnAndFerrunsFolder) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"sh", "-c", "echo $$ $(cut -d' ' -f6 /proc/$$/stat); pwd"});
  const std::vector<std::string> lines = split_lines(run.out);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].substr(0, lines[0].find(' ')), lines[0].substr(lines[0].find(' ') + 1));
  EXPECT_EQ(std::filesystem::canonical(lines[1]), std::filesystem::canonical(folder.path()));
}

TEST(LauncherArguments, HelpAndVersionGoToStdout) {
  const ScratchFolder folder;
  const Finished help = ferrun(folder, {"--help"});
  EXPECT_EQ(help.code(), 0);
  EXPECT_THAT(help.out, StartsWith("usage: ferrun [options] program"));
  EXPECT_EQ(help.err, "");
  EXPECT_EQ(ferrun(folder, {"-h", "ignored"}).out, help.out);
  const Finished version = ferrun(folder, {"--version"});
  EXPECT_EQ(version.code(), 0);
  EXPECT_THAT(version.out,
              ::testing::MatchesRegex("ferrun [0-9]+\\.[0-9]+\\.[0-9]+\nbuilt as [^\n]+, glibc 2\\.[0-9]+\n"));
}

TEST(LauncherArguments, ADryRunStartsNothing) {
  const ScratchFolder folder;
  const Finished run = ferrun(folder, {"--dry-run", "--nproc-per-node=2", "touch", "made"});
  EXPECT_EQ(run.code(), 0);
  EXPECT_THAT(run.out, HasSubstr("touch made\n"));
  EXPECT_THAT(folder.files(), ::testing::IsEmpty());
}

}  // namespace
}  // namespace ferrun
