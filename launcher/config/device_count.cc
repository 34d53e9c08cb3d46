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
int device_with_prefix(std::string_view entry, const std::vector<GpuDevice>& devices) {
  int found = -1;
  for (size_t device = 0; device < devices.size(); ++device) {
    if (!std::string_view(devices[device].uuid).starts_with(entry)) continue;
    if (found >= 0) return -1;
    found = static_cast<int>(device);
  }
  return found;
}

// "MIG-GPU-<UUID of the GPU>/<instance>/<instance>", or "MIG-<UUID>", which does not tell the GPU.
GpuDevice mig_instance(std::string_view entry, const std::vector<GpuDevice>& devices) {
  const std::string_view gpu = entry.substr(std::string_view("MIG-").size());
  const int parent = gpu.starts_with("GPU-") ? device_with_prefix(gpu.substr(0, gpu.find('/')), devices)
                     : devices.size() == 1   ? 0
                                             : -1;
  GpuDevice instance = parent < 0 ? GpuDevice{} : devices[static_cast<size_t>(parent)];
  instance.uuid = entry;
  return instance;
}

std::vector<GpuDevice> mig_instances(const std::vector<std::string_view>& entries,
                                     const std::vector<GpuDevice>& devices, MigInstances instances) {
  if (devices.empty()) return {};
  std::vector<GpuDevice> found;
  for (const std::string_view entry : entries) {
    if (!entry.starts_with("MIG-")) break;
    const auto same = [&](const GpuDevice& before) { return before.uuid == entry; };
    if (std::ranges::any_of(found, same)) return {};
    found.push_back(mig_instance(entry, devices));
    if (instances == MigInstances::kFirst) break;
  }
  return found;
}

// The entry of the variable by which the device came to be seen; without the variable its number.
std::vector<std::string> entry_names(const std::optional<std::string>& visible, size_t devices) {
  std::vector<std::string> names;
  const std::string list = visible.value_or("");
  const std::vector<std::string_view> entries = entries_of(list);
  for (size_t at = 0; at < devices; ++at) names.push_back(visible ? std::string(entries[at]) : std::to_string(at));
  return names;
}

}  // namespace

std::vector<GpuDevice> visible_devices(const std::vector<GpuDevice>& devices, const std::optional<std::string>& visible,
                                       MigInstances instances) {
  if (!visible) return devices;
  const std::vector<std::string_view> entries = entries_of(*visible);
  if (entries.front().starts_with("MIG-")) return mig_instances(entries, devices, instances);
  const bool by_uuid = entries.front().starts_with("GPU-");
  std::vector<int> chosen;
  for (const std::string_view entry : entries) {
    const int device = by_uuid ? (entry.starts_with("GPU-") ? device_with_prefix(entry, devices) : -1)
                               : index_of(entry, devices.size());
    if (device < 0) break;
    if (std::ranges::find(chosen, device) != chosen.end()) return {};
    chosen.push_back(device);
  }
  std::vector<GpuDevice> seen;
  for (const int device : chosen) seen.push_back(devices[static_cast<size_t>(device)]);
  return seen;
}

std::vector<GpuDevice> visible_to_cuda(const std::vector<GpuDevice>& devices, const Environment& environment,
                                       MigInstances instances) {
  return visible_devices(devices, environment.get("CUDA_VISIBLE_DEVICES"), instances);
}

std::vector<GpuDevice> visible_to_hip(const std::vector<GpuDevice>& devices, const Environment& environment) {
  std::vector<GpuDevice> offered = visible_devices(devices, environment.get("ROCR_VISIBLE_DEVICES"));
  for (const char* variable : kHipVariables) {
    if (!environment.contains(variable)) continue;
    // HIP takes indices alone.
    std::vector<GpuDevice> nameless = offered;
    for (GpuDevice& device : nameless) device.uuid.clear();
    return visible_devices(nameless, environment.get(variable));
  }
  return offered;
}

bool numbered_by_speed(const std::vector<GpuDevice>& gpus, const Environment& environment) {
  const bool one_model = std::ranges::all_of(gpus, [&](const GpuDevice& gpu) { return gpu.model == gpus[0].model; });
  return !one_model && environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID" &&
         !environment.get_or("CUDA_VISIBLE_DEVICES", "").starts_with("GPU-");
}

VisibleGpus visible_gpus(const HostFacts& facts, MigInstances instances) {
  VisibleGpus seen;
  const Environment& environment = facts.environment;
  if (const auto devices = facts.nvidia_gpus()) seen.devices = visible_to_cuda(*devices, environment, instances);
  if (!seen.devices.empty()) {
    seen.names = entry_names(environment.get(seen.variable), seen.devices.size());
    for (size_t at = 0; at < seen.names.size(); ++at) {
      if (!seen.devices[at].uuid.empty()) seen.names[at] = seen.devices[at].uuid;
    }
    return seen;
  }
  if (const auto devices = facts.amd_gpus()) seen.devices = visible_to_hip(*devices, environment);
  if (seen.devices.empty()) return seen;
  const bool cudas = !environment.contains(kHipVariables[0]) && environment.contains(kHipVariables[1]);
  seen.variable = kHipVariables[cudas ? 1 : 0];
  seen.names = entry_names(environment.get(seen.variable), seen.devices.size());
  return seen;
}

}  // namespace ferrun
