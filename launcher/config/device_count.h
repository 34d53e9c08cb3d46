// How many devices CUDA would see, decided as the CUDA runtime does from the driver's devices and CUDA_VISIBLE_DEVICES.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace ferrun {

// `uuids` are those of the driver's devices ("GPU-..."); `visible` is CUDA_VISIBLE_DEVICES, none when it is not set.
// The list is read up to the first entry that names no device; a device that is named twice makes it empty. Entries are
// indices or unique prefixes of UUIDs, of one kind as the first one; a MIG instance counts as one device, of which CUDA
// uses only the first.
int visible_device_count(const std::vector<std::string>& uuids, const std::optional<std::string>& visible);

}  // namespace ferrun
