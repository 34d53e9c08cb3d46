#include "launcher/config/device_count.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "common/text.h"

namespace ferrun {
namespace {

std::vector<std::string_view> entries_of(std::string_view list) {
  std::vector<std::string_view> entries;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t comma = std::min(list.find(',', begin), list.size());
    entries.push_back(strip(list.substr(begin, comma - begin)));
    begin = comma + 1;
  }
  return entries;
}

// The index that an entry names: digits count up to the first other character, as in strtoul; -1 for none.
int index_of(std::string_view entry, size_t devices) {
  if (entry.starts_with('+')) entry.remove_prefix(1);
  size_t index = 0;
  size_t digits = 0;
  for (; digits < entry.size() && std::isdigit(static_cast<unsigned char>(entry[digits])); ++digits) {
    index = index * 10 + static_cast<size_t>(entry[digits] - '0');
    if (index >= devices) return -1;
  }
  return digits == 0 ? -1 : static_cast<int>(index);
}

// The device whose UUID alone begins with `entry`; -1 for none or several.
int device_with_prefix(std::string_view entry, const std::vector<std::string>& uuids) {
  int found = -1;
  for (size_t device = 0; device < uuids.size(); ++device) {
    if (!std::string_view(uuids[device]).starts_with(entry)) continue;
    if (found >= 0) return -1;
    found = static_cast<int>(device);
  }
  return found;
}

}  // namespace

int visible_device_count(const std::vector<std::string>& uuids, const std::optional<std::string>& visible) {
  if (!visible) return static_cast<int>(uuids.size());
  const std::vector<std::string_view> entries = entries_of(*visible);
  if (entries.front().starts_with("MIG-")) return uuids.empty() ? 0 : 1;
  const bool by_uuid = entries.front().starts_with("GPU-");
  std::vector<int> devices;
  for (const std::string_view entry : entries) {
    const int device =
        by_uuid ? (entry.starts_with("GPU-") ? device_with_prefix(entry, uuids) : -1) : index_of(entry, uuids.size());
    if (device < 0) break;
    if (std::ranges::find(devices, device) != devices.end()) return 0;
    devices.push_back(device);
  }
  return static_cast<int>(devices.size());
}

}  // namespace ferrun
