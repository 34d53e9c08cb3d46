#include "launcher/io/probe/device_probe.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/io/small_file.h"
#include "common/text.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIntel = "0x8086";
constexpr const char* kAmd = "0x1002";
constexpr const char* kAmdProcessors = "0x1022";
constexpr const char* kHabanaLabs = "0x1da3";

struct Device {
  int minor = -1;
  GpuDevice gpu;
};

// "GPU UUID: \t GPU-..." and "Device Minor: \t 0" among other lines.
Device read_information(const fs::path& file) {
  Device device;
  std::istringstream in(read_small_file(file).bytes);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string value(strip(std::string_view(line).substr(colon + 1)));
    if (value.empty()) continue;
    if (line.starts_with("GPU UUID")) device.gpu.uuid = value;
    if (line.starts_with("Model")) device.gpu.model = value;
    if (line.starts_with("Device Minor") && value.find_first_not_of("0123456789") == std::string::npos) {
      device.minor = std::stoi(value);
    }
  }
  return device;
}

// Also by the device cgroup, which the kernel asks here too.
bool usable(const fs::path& node) { return access(node.c_str(), R_OK | W_OK) == 0; }

// The number behind `prefix` in the name of a device node; -1 where anything else stands there ("nvidiactl").
int number_of_node(const std::string& name, std::string_view prefix) {
  if (!name.starts_with(prefix) || name.size() == prefix.size() || name.size() > prefix.size() + 6) return -1;
  for (const char c : name.substr(prefix.size())) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) return -1;
  }
  return std::stoi(name.substr(prefix.size()));
}

// The nodes of a folder whose names are `prefix` and a number, by that number.
std::map<int, fs::path> nodes_in(const fs::path& folder, std::string_view prefix) {
  std::map<int, fs::path> nodes;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const int number = number_of_node(entry.path().filename().string(), prefix);
    if (number >= 0) nodes[number] = entry.path();
  }
  return nodes;
}

std::string first_word(const fs::path& file) {
  std::istringstream in(read_small_file(file).bytes);
  std::string word;
  in >> word;
  return word;
}

fs::path render_node(const fs::path& root, int minor) { return root / "dev/dri" / ("renderD" + std::to_string(minor)); }

fs::path device_of_render_node(const fs::path& root, int minor) {
  return root / "sys/class/drm" / ("renderD" + std::to_string(minor)) / "device";
}

// "simd_count 304" and so on: one node of AMD's topology, which has CPUs as well.
Device read_topology_node(const fs::path& properties) {
  std::map<std::string, uint64_t> values;
  std::istringstream in(read_small_file(properties).bytes);
  std::string name;
  uint64_t value = 0;
  while (in >> name >> value) values[name] = value;
  if (values["simd_count"] == 0 || !values.contains("drm_render_minor")) return {};
  Device device{static_cast<int>(values["drm_render_minor"]), {}};
  if (const uint64_t id = values["unique_id"]; id != 0) {
    constexpr int kDigits = 16;
    std::string& uuid = device.gpu.uuid;
    uuid.assign(kDigits, '0');
    uint64_t rest = id;
    for (auto at = uuid.rbegin(); at != uuid.rend(); ++at, rest >>= 4) {
      *at = "0123456789abcdef"[rest & 15];
    }
    uuid.insert(0, "GPU-");
  }
  return device;
}

void add_intel_gpus(const fs::path& root, std::vector<DeviceNodes>& found) {
  DeviceNodes cards{DeviceNodes::Kind::kIntelGpu, "", 0};
  DeviceNodes integrated{DeviceNodes::Kind::kIntelGraphics, "", 0};
  for (const auto& [minor, node] : nodes_in(root / "dev/dri", "renderD")) {
    const fs::path device = device_of_render_node(root, minor);
    if (first_word(device / "vendor") != kIntel) continue;
    std::error_code error;
    // Of every Intel processor with graphics they are the device 2 of the first bus.
    const bool inside = fs::read_symlink(device, error).filename() == "0000:00:02.0";
    DeviceNodes& kind = inside ? integrated : cards;
    if (kind.count++ == 0) kind.path = "/dev/dri/" + node.filename().string();
  }
  for (DeviceNodes& kind : {std::ref(cards), std::ref(integrated)}) {
    if (kind.count > 0) found.push_back(kind);
  }
}

// The kernel's class of compute accelerators: Habana's, and the small ones of laptops.
void add_compute_accelerators(const fs::path& root, std::vector<DeviceNodes>& found) {
  DeviceNodes habana{DeviceNodes::Kind::kHabana, "", 0};
  DeviceNodes npu{DeviceNodes::Kind::kLaptopNpu, "", 0};
  DeviceNodes other{DeviceNodes::Kind::kOther, "", 0};
  for (const auto& [number, node] : nodes_in(root / "dev/accel", "accel")) {
    const std::string name = node.filename().string();
    const std::string vendor = first_word(root / "sys/class/accel" / name / "device/vendor");
    DeviceNodes& kind = vendor == kHabanaLabs ? habana : vendor == kIntel || vendor == kAmdProcessors ? npu : other;
    if (kind.count++ == 0) kind.path = "/dev/accel/" + name;
  }
  const std::map<int, fs::path> old = nodes_in(root / "dev", "hl");
  if (habana.count == 0 && !old.empty()) {
    habana.count = static_cast<int>(old.size());
    habana.path = "/dev/" + old.begin()->second.filename().string();
  }
  for (const DeviceNodes& kind : {habana, npu, other}) {
    if (kind.count > 0) found.push_back(kind);
  }
}

void add_pci_place(const fs::path& root, const std::string& address, GpuDevice& gpu) {
  gpu.pci_address = address;
  std::istringstream in(read_small_file(root / "sys/bus/pci/devices" / address / "numa_node").bytes);
  int node = 0;
  if (in >> node) gpu.numa_node = node;
}

}  // namespace

std::optional<std::vector<GpuDevice>> nvidia_gpus(const fs::path& root) {
  bool driver = false;
  std::vector<GpuDevice> gpus;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / "proc/driver/nvidia/gpus", error)) {
    driver = true;
    Device device = read_information(entry.path() / "information");
    if (device.minor < 0 || !usable(root / "dev" / ("nvidia" + std::to_string(device.minor)))) continue;
    add_pci_place(root, entry.path().filename().string(), device.gpu);
    gpus.push_back(std::move(device.gpu));
  }
  std::ranges::sort(gpus, {}, &GpuDevice::pci_address);
  if (driver) return gpus;
  for (const auto& [minor, node] : nodes_in(root / "dev", "nvidia")) {
    driver = true;
    if (usable(node)) gpus.emplace_back();
  }
  return driver ? std::optional(gpus) : std::nullopt;
}

std::optional<std::vector<GpuDevice>> amd_gpus(const fs::path& root) {
  std::error_code error;
  if (!fs::exists(root / "dev/kfd", error)) return std::nullopt;
  std::vector<GpuDevice> gpus;
  if (!usable(root / "dev/kfd")) return gpus;
  const auto add = [&](Device device) {
    const fs::path link = fs::read_symlink(device_of_render_node(root, device.minor), error);
    if (!link.empty()) add_pci_place(root, link.filename().string(), device.gpu);
    gpus.push_back(std::move(device.gpu));
  };
  const fs::path topology = root / "sys/class/kfd/kfd/topology/nodes";
  if (fs::exists(topology, error)) {
    for (const auto& [number, node] : nodes_in(topology, "")) {
      Device device = read_topology_node(node / "properties");
      if (device.minor >= 0 && usable(render_node(root, device.minor))) add(std::move(device));
    }
    return gpus;
  }
  for (const auto& [minor, node] : nodes_in(root / "dev/dri", "renderD")) {
    if (usable(node) && first_word(device_of_render_node(root, minor) / "vendor") == kAmd) add({minor, {}});
  }
  return gpus;
}

std::vector<DeviceNodes> accelerator_nodes(const fs::path& root) {
  std::vector<DeviceNodes> found;
  add_intel_gpus(root, found);
  add_compute_accelerators(root, found);
  if (const std::map<int, fs::path> nodes = nodes_in(root / "dev", "davinci"); !nodes.empty()) {
    const std::string first = "/dev/" + nodes.begin()->second.filename().string();
    found.push_back({DeviceNodes::Kind::kAscend, first, static_cast<int>(nodes.size())});
  }
  std::error_code error;
  if (fs::exists(root / "dev/dxg", error)) found.push_back({DeviceNodes::Kind::kWsl, "/dev/dxg", 1});
  return found;
}

}  // namespace ferrun
