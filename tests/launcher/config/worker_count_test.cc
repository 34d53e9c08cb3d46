#include "launcher/config/worker_count.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = DeviceNodes::Kind;

WorkerCount count(const std::string& text, const FakeHost& host) {
  const Result<WorkerCount> made = worker_count(text, host.facts());
  EXPECT_TRUE(made) << made.error().message;
  return made ? *made : WorkerCount{};
}

std::string refusal(const std::string& text, const FakeHost& host) {
  const Result<WorkerCount> made = worker_count(text, host.facts());
  return made ? "accepted" : made.error().message;
}

TEST(WorkerCount, WithoutAnyDeviceAutoIsTheCoresWithoutAWord) {
  FakeHost host;
  EXPECT_EQ(count("auto", host).workers, 6);
  EXPECT_THAT(count("auto", host).warnings, IsEmpty());
}

TEST(WorkerCount, AmdDevicesAreCountedAsHipDoes) {
  FakeHost host;
  host.amd_gpus({"GPU-a", "GPU-b", "GPU-c", "GPU-d"});
  EXPECT_EQ(count("auto", host).workers, 4);
  EXPECT_THAT(count("auto", host).warnings, IsEmpty());
  EXPECT_THAT(count("auto", host).notes, ElementsAre(HasSubstr("AMD")));
  EXPECT_EQ(count("gpu", host).workers, 4);
  host.variable("CUDA_VISIBLE_DEVICES", "0,1,2");
  EXPECT_EQ(count("gpu", host).workers, 3);
  host.variable("HIP_VISIBLE_DEVICES", "0,1,2,3");
  EXPECT_EQ(count("gpu", host).workers, 4);
  host.variable("ROCR_VISIBLE_DEVICES", "GPU-b,GPU-d");
  EXPECT_EQ(count("gpu", host).workers, 2);
  host.variable("HIP_VISIBLE_DEVICES", "1");
  EXPECT_EQ(count("gpu", host).workers, 1);
  host.variable("HIP_VISIBLE_DEVICES", "");
  EXPECT_THAT(refusal("gpu", host), HasSubstr("HIP_VISIBLE_DEVICES= CUDA_VISIBLE_DEVICES=0,1,2 leaves none of the 4"));
}

TEST(WorkerCount, DevicesThatCannotBeCountedAreNamed) {
  FakeHost host;
  host.amd_gpus({}).accelerators({{Kind::kWsl, "/dev/dxg", 1}, {Kind::kAscend, "/dev/davinci0", 8}});
  EXPECT_EQ(count("auto", host).workers, 6);
  EXPECT_THAT(count("auto", host).warnings,
              ElementsAre(AllOf(HasSubstr("AMD GPU (/dev/kfd)"), HasSubstr("GPU of WSL2 (/dev/dxg)"),
                                HasSubstr("8 times Ascend NPU (/dev/davinci0)"), HasSubstr("that is 6"))));
  EXPECT_THAT(refusal("gpu", host), AllOf(HasSubstr("/dev/kfd"), HasSubstr("/dev/dxg"), HasSubstr("/dev/davinci0")));
  host.amd_gpus({"GPU-a"});
  EXPECT_EQ(count("auto", host).workers, 1);
}

TEST(WorkerCount, ADriverThatOffersNoDeviceIsNamed) {
  FakeHost host;
  host.gpus({});
  EXPECT_THAT(count("auto", host).warnings, ElementsAre(HasSubstr("NVIDIA GPU that this process may not use")));
}

TEST(WorkerCount, WhatIsPartOfTheProcessorIsToldToTheVerboseOnly) {
  FakeHost host;
  host.accelerators({{Kind::kIntelGraphics, "/dev/dri/renderD128", 1}, {Kind::kLaptopNpu, "/dev/accel/accel0", 1}});
  EXPECT_THAT(count("auto", host).warnings, IsEmpty());
  EXPECT_THAT(count("auto", host).notes, ElementsAre(AllOf(HasSubstr("renderD128"), HasSubstr("accel0"))));
}

TEST(WorkerCount, DevicesOfThisMachineAreNoMatterOfANumber) {
  FakeHost host;
  host.amd_gpus({}).accelerators({{Kind::kOther, "/dev/accel/accel0", 1}});
  EXPECT_THAT(count("3", host).warnings, IsEmpty());
  EXPECT_THAT(count("cpu", host).warnings, IsEmpty());
}

TEST(WorkerCount, IntelGpusAreNamedWhereTheyAreAskedFor) {
  FakeHost host;
  EXPECT_EQ(refusal("xpu", host), "Intel GPUs are not counted: give their number");
  host.accelerators({{Kind::kIntelGpu, "/dev/dri/renderD128", 2}});
  EXPECT_EQ(refusal("xpu", host),
            "Intel GPUs are not counted: give their number; there is: 2 times Intel GPU (/dev/dri/renderD128)");
}

}  // namespace
}  // namespace ferrun
