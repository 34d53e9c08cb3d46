#include "launcher/io/probe/device_probe.h"

#include <unistd.h>

#include <cctype>
#include <fstream>
#include <map>
#include <system_error>

namespace ferrun {
namespace {

namespace fs = std::filesystem;

struct Device {
  int minor = -1;
  std::string uuid;
};

// "GPU UUID: \t GPU-..." and "Device Minor: \t 0" among other lines.
Device read_information(const fs::path& file) {
  Device device;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    if (begin == std::string::npos) continue;
    const std::string value = line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
    if (line.starts_with("GPU UUID")) device.uuid = value;
    if (line.starts_with("Device Minor") && value.find_first_not_of("0123456789") == std::string::npos) {
      device.minor = std::stoi(value);
    }
  }
  return device;
}

bool usable(const fs::path& node) { return access(node.c_str(), R_OK | W_OK) == 0; }

// The number behind "nvidia" in the name of a device node; -1 for nvidiactl and the like.
int minor_of_node(const std::string& name) {
  constexpr std::string_view kPrefix = "nvidia";
  if (!name.starts_with(kPrefix) || name.size() == kPrefix.size() || name.size() > kPrefix.size() + 6) return -1;
  for (const char c : name.substr(kPrefix.size())) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) return -1;
  }
  return std::stoi(name.substr(kPrefix.size()));
}

}  // namespace

std::optional<std::vector<std::string>> nvidia_device_uuids(const fs::path& root) {
  std::map<int, std::string> by_minor;
  bool driver = false;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / "proc/driver/nvidia/gpus", error)) {
    driver = true;
    const Device device = read_information(entry.path() / "information");
    const fs::path node = root / "dev" / ("nvidia" + std::to_string(device.minor));
    if (device.minor >= 0 && usable(node)) by_minor[device.minor] = device.uuid;
  }
  if (!driver) {
    for (const auto& entry : fs::directory_iterator(root / "dev", error)) {
      const int minor = minor_of_node(entry.path().filename().string());
      if (minor < 0) continue;
      driver = true;
      if (usable(entry.path())) by_minor[minor] = "";
    }
  }
  if (!driver) return std::nullopt;
  std::vector<std::string> uuids;
  uuids.reserve(by_minor.size());
  for (const auto& [minor, uuid] : by_minor) uuids.push_back(uuid);
  return uuids;
}

}  // namespace ferrun
