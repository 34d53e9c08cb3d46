// What `ferrun doctor` says of GPUs, with a library in NVML's place that plays the devices.
#include "launcher/io/probe/gpu_survey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/launcher/io/machine_tree.h"
#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

class GpuSurveyTest : public ::testing::Test {
 protected:
  GpuSurveyTest() {
    testing::Machine machine;
    machine.gpus = {{"0000:1b:00.0", 0}, {"0000:43:00.0", 0}, {"0000:52:00.0", 0}};
    testing::write_machine(machine, folder_.path());
    std::ofstream(folder_.path() / "proc/driver/nvidia/version")
        << "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12.2\n";
    fs::copy_file(FERRUN_STAND_IN_NVML, folder_.path() / "libnvidia-ml.so.1");
    options_.library = folder_.path() / "libnvidia-ml.so.1";
    options_.root = folder_.path();
    options_.programs = folder_.path() / "bin";
    options_.patience = std::chrono::seconds(60);
    for (const testing::Machine::Gpu& gpu : machine.gpus) play("device " + gpu.pci_address);
  }
  void play(const std::string& fact) const { std::ofstream(folder_.path() / "devices", std::ios::app) << fact << "\n"; }
  std::string said() const { return findings_text(judge_gpus(survey_gpus(environment_, options_))); }

  const testing::TemporaryDirectory folder_;
  Environment environment_;
  GpuSurveyOptions options_;
};

TEST_F(GpuSurveyTest, WithoutADriverNothingIsSaid) {
  options_.root = folder_.path() / "sys";
  EXPECT_EQ(said(), "");
}

TEST_F(GpuSurveyTest, HealthyDevices) {
  for (const char* address : {"0000:1b:00.0", "0000:43:00.0", "0000:52:00.0"}) {
    play("links " + std::string(address) + " 18");
  }
  EXPECT_EQ(said(),
            "ok    gpus    3 devices, NVIDIA's driver 550.54.15\n"
            "ok    peers   all devices can read each other's memory\n"
            "ok    nvlink  18 active links of each device\n");
}

TEST_F(GpuSurveyTest, ABrokenDeviceALostPeerAndAMissingLink) {
  play("rows 0000:43:00.0 0 1");
  play("stranger 0000:52:00.0");
  play("links 0000:1b:00.0 18");
  play("links 0000:43:00.0 18");
  play("links 0000:52:00.0 17");
  EXPECT_EQ(
      said(),
      "FAIL  gpus    0000:43:00.0: a defective row of memory could not be remapped: the device is to be replaced\n"
      "warn  peers   2 of 3 pairs of devices cannot read each other's memory, as 0000:1b:00.0 and 0000:52:00.0: NCCL "
      "copies through the host (ACS, IOMMU or the topology: nvidia-smi topo -p2p r)\n"
      "warn  nvlink  0000:52:00.0 has 17 active links, another device 18: nvidia-smi nvlink --status\n");
}

TEST_F(GpuSurveyTest, OneVisibleDeviceHasNoPeers) {
  environment_.set("CUDA_VISIBLE_DEVICES", "1");
  EXPECT_EQ(said(), "ok    gpus  1 device, NVIDIA's driver 550.54.15\n");
  environment_.set("CUDA_VISIBLE_DEVICES", "");
  EXPECT_EQ(said(), "warn  gpus  CUDA_VISIBLE_DEVICES hides all of the 3 devices\n");
}

TEST_F(GpuSurveyTest, SaysWhetherTheWorkerCanUseThem) {
  environment_.set("CUDA_VISIBLE_DEVICES", "1");
  fs::create_directories(folder_.path() / "bin");
  fs::create_directories(folder_.path() / "lib/ferrun");
  const auto make = [&](const char* name) { std::ofstream(folder_.path() / name) << "x"; };
  make("bin/worker");
  EXPECT_EQ(said(),
            "ok    gpus     1 device, NVIDIA's driver 550.54.15\n"
            "warn  plug-in  worker has none for CUDA and computes on the CPU: worker --version says why, scripts/setup "
            "--with-cuda brings what it is built with\n");
  make("lib/ferrun/libferrun_cuda.so");
  EXPECT_THAT(said(), ::testing::HasSubstr("ok    plug-in  worker computes on GPUs by " +
                                           (folder_.path() / "lib/ferrun/libferrun_cuda.so").string() + "\n"));
}

TEST_F(GpuSurveyTest, SaysThatTheLibraryIsAbsent) {
  options_.library = "libferrun-absent.so.1";
  EXPECT_THAT(said(), ::testing::HasSubstr("its library libferrun-absent.so.1 is absent"));
}

TEST_F(GpuSurveyTest, ADriverThatHangsIsLeftBehind) {
  play("hang");
  options_.patience = std::chrono::milliseconds(1);
  EXPECT_THAT(said(), ::testing::HasSubstr("it does not answer"));
}

}  // namespace
}  // namespace ferrun
