// What /dev, /proc and /sys of machines with accelerators tell, as folders.
#include "launcher/io/probe/device_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <optional>

#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = DeviceNodes::Kind;

class DeviceProbeTest : public ::testing::Test {
 protected:
  fs::path root() const { return folder_.path(); }
  void file(const std::string& path, const std::string& content = "") {
    fs::create_directories((root() / path).parent_path());
    std::ofstream(root() / path) << content;
  }
  void render_node(int minor, const std::string& vendor, const std::string& bus_address) {
    const std::string name = "renderD" + std::to_string(minor);
    file("dev/dri/" + name);
    file("sys/devices/" + bus_address + "/vendor", vendor + "\n");
    fs::create_directories(root() / "sys/class/drm" / name);
    fs::create_symlink(root() / "sys/devices" / bus_address, root() / "sys/class/drm" / name / "device");
  }
  void topology_node(int number, const std::string& properties) {
    file("sys/class/kfd/kfd/topology/nodes/" + std::to_string(number) + "/properties", properties);
  }
  std::string seen() const {
    std::string text;
    for (const DeviceNodes& nodes : accelerator_nodes(root())) {
      text += std::to_string(static_cast<int>(nodes.kind)) + ":" + nodes.path + ":" + std::to_string(nodes.count) + " ";
    }
    return text;
  }
  static std::string shown(Kind kind, const std::string& path, int count) {
    return std::to_string(static_cast<int>(kind)) + ":" + path + ":" + std::to_string(count) + " ";
  }

  testing::TemporaryDirectory folder_;
};

TEST_F(DeviceProbeTest, AMachineWithoutDevicesHasNone) {
  file("dev/null");
  file("dev/hlog");
  file("dev/davinci_manager");
  EXPECT_EQ(nvidia_gpus(root()), std::nullopt);
  EXPECT_EQ(amd_gpus(root()), std::nullopt);
  EXPECT_EQ(seen(), "");
}

TEST_F(DeviceProbeTest, NvidiasDevicesAreInTheOrderOfTheirAddresses) {
  file("proc/driver/nvidia/gpus/0000:41:00.0/information", "Model: \t X\nGPU UUID: \t GPU-b\nDevice Minor: \t 1\n");
  file("proc/driver/nvidia/gpus/0000:81:00.0/information", "GPU UUID: \t GPU-a\nDevice Minor: \t 0\n");
  file("proc/driver/nvidia/gpus/0000:c1:00.0/information", "GPU UUID: \t GPU-c\nDevice Minor: \t 2\n");
  for (const char* node : {"dev/nvidia0", "dev/nvidia1", "dev/nvidiactl"}) file(node);
  file("sys/bus/pci/devices/0000:81:00.0/numa_node", "1\n");
  file("sys/bus/pci/devices/0000:41:00.0/numa_node", "-1\n");
  EXPECT_THAT(nvidia_gpus(root()).value(),
              ElementsAre(GpuDevice{"GPU-b", "0000:41:00.0", "X", -1}, GpuDevice{"GPU-a", "0000:81:00.0", "", 1}));
}

TEST_F(DeviceProbeTest, WhereOnlyNodesOfNvidiasAreThereTheyCount) {
  for (const char* node : {"dev/nvidia0", "dev/nvidia3", "dev/nvidiactl", "dev/nvidia-uvm"}) file(node);
  EXPECT_THAT(nvidia_gpus(root()).value(), ElementsAre(GpuDevice{}, GpuDevice{}));
}

TEST_F(DeviceProbeTest, AmdsDevicesAreTheNodesOfItsTopologyThatHaveAGpu) {
  file("dev/kfd");
  for (const int minor : {128, 129, 130}) file("dev/dri/renderD" + std::to_string(minor));
  topology_node(0, "cpu_cores_count 64\nsimd_count 0\ndrm_render_minor 0\n");
  topology_node(2, "cpu_cores_count 0\nsimd_count 304\nunique_id 255\ndrm_render_minor 129\n");
  topology_node(1, "cpu_cores_count 0\nsimd_count 304\nunique_id 18446744073709551615\ndrm_render_minor 128\n");
  topology_node(3, "cpu_cores_count 0\nsimd_count 304\ndrm_render_minor 131\n");  // not in this container
  EXPECT_THAT(amd_gpus(root()).value(),
              ElementsAre(GpuDevice{"GPU-ffffffffffffffff"}, GpuDevice{"GPU-00000000000000ff"}));
}

TEST_F(DeviceProbeTest, WithoutATopologyAmdsRenderNodesCount) {
  file("dev/kfd");
  render_node(128, "0x1002", "0000:03:00.0");
  render_node(129, "0x8086", "0000:04:00.0");
  file("sys/bus/pci/devices/0000:03:00.0/numa_node", "2\n");
  EXPECT_THAT(amd_gpus(root()).value(), ElementsAre(GpuDevice{"", "0000:03:00.0", "", 2}));
}

TEST_F(DeviceProbeTest, AmdsDriverWithoutAnyDeviceIsTold) {
  file("dev/kfd");
  ASSERT_TRUE(amd_gpus(root()));
  EXPECT_THAT(*amd_gpus(root()), IsEmpty());
}

TEST_F(DeviceProbeTest, IntelsCardsAreToldFromTheGraphicsOfItsProcessors) {
  render_node(128, "0x8086", "0000:00:02.0");
  render_node(129, "0x8086", "0000:29:00.0");
  render_node(130, "0x8086", "0000:3a:00.0");
  render_node(131, "0x10de", "0000:41:00.0");
  EXPECT_EQ(seen(),
            shown(Kind::kIntelGpu, "/dev/dri/renderD129", 2) + shown(Kind::kIntelGraphics, "/dev/dri/renderD128", 1));
}

TEST_F(DeviceProbeTest, ComputeAcceleratorsAreToldByTheirVendor) {
  for (const auto& [number, vendor] : {std::pair{"0", "0x1da3\n"}, {"1", "0x1da3\n"}, {"2", "0x8086\n"}, {"3", ""}}) {
    file("dev/accel/accel" + std::string(number));
    if (*vendor != '\0') file("sys/class/accel/accel" + std::string(number) + "/device/vendor", vendor);
  }
  EXPECT_EQ(seen(), shown(Kind::kHabana, "/dev/accel/accel0", 2) + shown(Kind::kLaptopNpu, "/dev/accel/accel2", 1) +
                        shown(Kind::kOther, "/dev/accel/accel3", 1));
}

TEST_F(DeviceProbeTest, OthersHaveNodesOfTheirOwnNames) {
  for (const char* node : {"dev/hl0", "dev/hl1", "dev/davinci0", "dev/davinci7", "dev/davinci_manager", "dev/dxg"}) {
    file(node);
  }
  EXPECT_EQ(seen(), shown(Kind::kHabana, "/dev/hl0", 2) + shown(Kind::kAscend, "/dev/davinci0", 2) +
                        shown(Kind::kWsl, "/dev/dxg", 1));
}

}  // namespace
}  // namespace ferrun
