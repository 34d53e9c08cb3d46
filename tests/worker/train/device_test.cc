#include "worker/train/device.h"

#include <gtest/gtest.h>

#include "tests/worker/train/stub_gpu.h"
#include "worker/train/one_device.h"
#include "worker/train/options.h"

namespace ferrun::train {
namespace {

TEST(DevicesNeeded, OneForEachRankOfTheNode) {
  EXPECT_EQ(devices_needed(0, 1, ""), 1);
  EXPECT_EQ(devices_needed(0, 2, ""), 2) << "also those that have one wait for none that has not";
  EXPECT_EQ(devices_needed(1, 2, "0,1"), 2);
  EXPECT_EQ(devices_needed(3, 1, ""), 4) << "LOCAL_RANK alone";
}

TEST(DevicesNeeded, OneWhereEachRankWasGivenItsOwn) {
  for (const char* own : {"3", "GPU-4f21c7a0-0000-0000-0000-000000000000", "MIG-8a1b"}) {
    EXPECT_EQ(devices_needed(0, 8, own), 1) << own;
  }
  EXPECT_EQ(devices_needed(1, 2, "0"), 2) << "a rank that was not";
}

constexpr int kAuto = DataOptions::kAutoWorkers, kUnasked = DataOptions::kDefaultWorkers;

TEST(LoaderThreads, AreWhatWasAskedFor) {
  EXPECT_EQ(loader_threads(0, ComputeDevice{}, 64, 1, 1), 0);
  EXPECT_EQ(loader_threads(5, StubGpu::device(), 2, 1, 2), 5);
}

TEST(LoaderThreads, AutoTakesTheRanksCoresThatDoNotCompute) {
  EXPECT_EQ(loader_threads(kAuto, ComputeDevice{}, 16, 2, 8), 1) << "all of them compute";
  EXPECT_EQ(loader_threads(kAuto, ComputeDevice{}, 16, 2, 2), 6);
  EXPECT_EQ(loader_threads(kAuto, StubGpu::device(), 16, 2, 8), 7) << "one gives the GPU its work";
  EXPECT_EQ(loader_threads(kAuto, StubGpu::device(), 128, 1, 128), 16);
  EXPECT_EQ(loader_threads(kAuto, StubGpu::device(), 2, 8, 1), 1);
}

TEST(LoaderThreads, WhereNobodyAskedAGpuIsFedAndACpuLeftAlone) {
  EXPECT_EQ(loader_threads(kUnasked, ComputeDevice{}, 16, 1, 1), 1);
  EXPECT_EQ(loader_threads(kUnasked, StubGpu::device(), 16, 1, 16), 15);
}

TEST(AutocastType, IsBfloat16WhereAGpuHasIt) {
  ComputeDevice gpu = StubGpu::device();
  EXPECT_EQ(autocast_type(AmpChoice::kUnasked, gpu), c10::ScalarType::BFloat16);
  EXPECT_EQ(autocast_type(AmpChoice::kDeviceDefault, gpu), c10::ScalarType::BFloat16);
  EXPECT_EQ(autocast_type(AmpChoice::kOff, gpu), std::nullopt);
  EXPECT_EQ(autocast_type(AmpChoice::kFloat16, gpu), c10::ScalarType::Half);
  gpu.bfloat16 = false;
  EXPECT_EQ(autocast_type(AmpChoice::kUnasked, gpu), std::nullopt);
  EXPECT_EQ(autocast_type(AmpChoice::kDeviceDefault, gpu), c10::ScalarType::Half);
  EXPECT_EQ(autocast_type(AmpChoice::kUnasked, ComputeDevice{}), std::nullopt);
  EXPECT_EQ(autocast_type(AmpChoice::kDeviceDefault, ComputeDevice{}), c10::ScalarType::BFloat16);
}

}  // namespace
}  // namespace ferrun::train
