#include "launcher/config/device_count.h"

#include <gtest/gtest.h>

#include "tests/launcher/config/host_fixture.h"

namespace ferrun {
namespace {

const std::vector<GpuDevice> kFour = FakeHost::named({"GPU-aaaa1111", "GPU-aabb2222", "GPU-cccc3333", "GPU-dddd4444"});

int visible_count(const std::vector<GpuDevice>& devices, const std::optional<std::string>& visible) {
  return static_cast<int>(visible_devices(devices, visible).size());
}

std::vector<std::string> uuids_of(const std::vector<GpuDevice>& devices) {
  std::vector<std::string> uuids;
  for (const GpuDevice& device : devices) uuids.push_back(device.uuid);
  return uuids;
}

struct Row {
  const char* visible;
  int devices;
};

class VisibleDevices : public ::testing::TestWithParam<Row> {};

TEST_P(VisibleDevices, CountsAsCudaDoes) { EXPECT_EQ(visible_count(kFour, GetParam().visible), GetParam().devices); }

INSTANTIATE_TEST_SUITE_P(Rules, VisibleDevices,
                         ::testing::Values(Row{"0", 1}, Row{"0,1,2,3", 4}, Row{"3,0", 2}, Row{" 1 , 2 ", 2},
                                           Row{"+1", 1},
                                           // The list ends at the first entry that names no device.
                                           Row{"0,-1,1", 1}, Row{"-1", 0}, Row{"", 0}, Row{"0,4,1", 1}, Row{"0,,1", 1},
                                           Row{"none", 0}, Row{"0,x", 1}, Row{"99999999999999999999", 0},
                                           // Digits count up to the first other character.
                                           Row{"1x,2", 2},
                                           // A device named twice leaves none.
                                           Row{"0,0", 0}, Row{"0,1,0", 0},
                                           // UUIDs may be shortened as long as one device alone fits.
                                           Row{"GPU-cccc3333", 1}, Row{"GPU-c", 1}, Row{"GPU-aa", 0},
                                           Row{"GPU-d,GPU-aaaa", 2}, Row{"GPU-d,GPU-zz,GPU-c", 1}, Row{"GPU-d,0", 1},
                                           Row{"GPU-d,GPU-dddd", 0}, Row{"0,GPU-d", 1}, Row{"MIG-1234,MIG-5678", 1}));

TEST(VisibleDevices, WithoutTheVariableAllAreVisible) {
  EXPECT_EQ(visible_count(kFour, std::nullopt), 4);
  EXPECT_EQ(visible_count({}, std::nullopt), 0);
  EXPECT_EQ(visible_count({}, "0"), 0);
  EXPECT_EQ(visible_count({}, "MIG-1"), 0);
}

TEST(VisibleDevices, ComeInTheOrderOfTheList) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(uuids_of(visible_devices(kFour, "3,0")), (Names{"GPU-dddd4444", "GPU-aaaa1111"}));
  EXPECT_EQ(uuids_of(visible_devices(kFour, "GPU-c,GPU-aab")), (Names{"GPU-cccc3333", "GPU-aabb2222"}));
}

TEST(VisibleDevices, OfAMigInstanceTheGpuIsKnownWhereItsNameTells) {
  std::vector<GpuDevice> devices = kFour;
  for (size_t at = 0; at < devices.size(); ++at) devices[at].pci_address = "0000:0" + std::to_string(at) + ":00.0";
  const auto old = visible_devices(devices, "MIG-GPU-cccc3333/7/0");
  ASSERT_EQ(old.size(), 1u);
  EXPECT_EQ(old[0].uuid, "MIG-GPU-cccc3333/7/0");
  EXPECT_EQ(old[0].pci_address, "0000:02:00.0");
  EXPECT_EQ(visible_devices(devices, "MIG-1b2c")[0].pci_address, "");
  EXPECT_EQ(visible_devices({devices[1]}, "MIG-1b2c")[0].pci_address, "0000:01:00.0") << "there is one alone";
}

TEST(VisibleDevices, SeveralMigInstancesAreForSeveralProcesses) {
  const auto all = visible_devices(kFour, "MIG-1, MIG-GPU-aaaa1111/1/0,7", MigInstances::kAll);
  EXPECT_EQ(uuids_of(all), (std::vector<std::string>{"MIG-1", "MIG-GPU-aaaa1111/1/0"}));
  EXPECT_EQ(visible_devices(kFour, "MIG-1,MIG-2", MigInstances::kFirst).size(), 1u);
  EXPECT_EQ(visible_devices(kFour, "MIG-1,MIG-1", MigInstances::kAll).size(), 0u);
}

TEST(VisibleDevices, RocmLeavesOutFirstAndHipCountsInTheRest) {
  Environment environment;
  environment.set("ROCR_VISIBLE_DEVICES", "2,3,0");
  EXPECT_EQ(visible_to_hip(kFour, environment).size(), 3u);
  environment.set("CUDA_VISIBLE_DEVICES", "2,1,3");
  EXPECT_EQ(visible_to_hip(kFour, environment).size(), 2u);
  environment.set("HIP_VISIBLE_DEVICES", "1");
  EXPECT_EQ(visible_to_hip(kFour, environment).size(), 1u);
}

}  // namespace
}  // namespace ferrun
