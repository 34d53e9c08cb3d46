// Which devices CUDA or HIP would see, decided as their runtimes do from the driver's devices and the variables that
// restrict them. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/environment.h"
#include "launcher/config/host_facts.h"

namespace ferrun {

// `devices` are the driver's; `visible` is CUDA_VISIBLE_DEVICES, none when it is not set. The list is read up to the
// first entry that names no device; a device that is named twice makes it empty. Entries are indices or unique prefixes
// of UUIDs, of one kind as the first one. A MIG instance counts as one device, of which CUDA uses only the first: it
// has the instance's name as its UUID, and of the GPU that it is a part of what its name (MIG-GPU-...) tells.
std::vector<GpuDevice> visible_devices(const std::vector<GpuDevice>& devices,
                                       const std::optional<std::string>& visible);

// CUDA_VISIBLE_DEVICES applied.
std::vector<GpuDevice> visible_to_cuda(const std::vector<GpuDevice>& devices, const Environment& environment);
// ROCR_VISIBLE_DEVICES applied, and in what that leaves HIP_VISIBLE_DEVICES, or CUDA's variable where that is not set.
std::vector<GpuDevice> visible_to_hip(const std::vector<GpuDevice>& devices, const Environment& environment);

inline constexpr const char* kHipVariables[] = {"HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"};

}  // namespace ferrun
