// What is said where --device cuda is not possible: one line, and no rank that waits for another.
#include <gmock/gmock.h>

#include <filesystem>
#include <regex>

#include "tests/e2e/train_support.h"

namespace ferrun::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Device : public Training {
 protected:
  // A worker of its own, with the stand-in beside it or nothing.
  std::string worker_in_folder(bool with_plugin) const {
    const fs::path folder = directory.file("bin");
    fs::create_directory(folder);
    fs::copy_file(FERRUN_BIN_DIR "/worker", folder / "worker");
    if (with_plugin) fs::copy_file(FERRUN_STAND_IN_CUDA, folder / "libferrun_cuda.so");
    return folder / "worker";
  }

  // The lines of all ranks that tell of the device.
  Words lines_of(int ranks, const std::string& program, const std::string& gpus = "0") const {
    ProgramOptions with = options();
    with.environment.push_back("STAND_IN_GPUS=" + gpus);
    Program job({FERRUN_BIN_DIR "/ferrun", "--nproc-per-node=" + std::to_string(ranks), program, "--device", "cuda",
                 "--faces", "10", "--epochs", "1", "--output-dir", directory.file("out")},
                with);
    EXPECT_FALSE(job.wait().success());
    Words lines;
    const std::regex line("worker: (--device cuda: [^\n]*)\n");
    const std::string& said = job.err();
    for (std::sregex_iterator at(said.begin(), said.end(), line), end; at != end; ++at) lines.push_back((*at)[1]);
    EXPECT_EQ(lines.size(), 1u) << said;
    return lines;
  }
};

TEST_F(Device, WithoutAPlugInOneLineSaysWhyThereIsNone) {
  EXPECT_THAT(lines_of(2, worker_in_folder(false)),
              ElementsAre(AllOf(HasSubstr("this build has no CUDA plug-in ("), HasSubstr("use --device cpu"))));
}

TEST_F(Device, WithoutAGpuOneLineHasCudasWords) {
  EXPECT_THAT(lines_of(2, worker_in_folder(true)),
              ElementsAre("--device cuda: no GPU can be used here (the driver is too old); use --device cpu"));
}

// Rank 0 has a GPU, and would wait for the others.
TEST_F(Device, MoreRanksThanGpusFailAlike) {
  EXPECT_THAT(lines_of(3, worker_in_folder(true), "2"),
              ElementsAre("--device cuda: 3 ranks on this machine need a GPU each, and 2 can be used here: start fewer "
                          "ranks, or use --device cpu"));
}

TEST_F(Device, AutoTakesTheCpuWhereThereIsNoGpu) {
  Program training({worker_in_folder(true), "--faces", "10", "--image-size", "32", "--epochs", "1", "--output-dir",
                    directory.file("out")},
                   options());
  EXPECT_TRUE(training.wait().success()) << training.err();
  EXPECT_THAT(training.out() + training.err(), HasSubstr("1 rank on cpu"));
}

TEST_F(Device, TheVersionTellsOfThePlugIn) {
  Program without({worker_in_folder(false), "--version"}, options());
  EXPECT_TRUE(without.wait().success());
  EXPECT_THAT(without.out(), HasSubstr("\nCUDA plug-in: none ("));
  fs::remove_all(directory.file("bin"));
  Program with({worker_in_folder(true), "--version"}, options());
  EXPECT_TRUE(with.wait().success());
  EXPECT_THAT(with.out(), HasSubstr("\nCUDA plug-in: " + directory.file("bin") + "/libferrun_cuda.so\n"));
}

}  // namespace
}  // namespace ferrun::testing
