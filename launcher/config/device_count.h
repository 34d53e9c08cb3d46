// Which devices CUDA or HIP would see, decided as their runtimes do from the driver's devices and the variables that
// restrict them. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/environment.h"
#include "launcher/config/host_facts.h"

namespace ferrun {

// A process that is given several MIG instances uses the first one alone; workers that are given one each use them all.
enum class MigInstances { kFirst, kAll };

// `devices` are the driver's; `visible` is CUDA_VISIBLE_DEVICES, none when it is not set. The list is read up to the
// first entry that names no device; a device that is named twice makes it empty. Entries are indices or unique prefixes
// of UUIDs, of one kind as the first one. A MIG instance has its own name as UUID, and of the GPU that it is a part of
// what that name (MIG-GPU-...) tells.
std::vector<GpuDevice> visible_devices(const std::vector<GpuDevice>& devices, const std::optional<std::string>& visible,
                                       MigInstances instances = MigInstances::kFirst);

// CUDA_VISIBLE_DEVICES applied.
std::vector<GpuDevice> visible_to_cuda(const std::vector<GpuDevice>& devices, const Environment& environment,
                                       MigInstances instances = MigInstances::kFirst);
// ROCR_VISIBLE_DEVICES applied, and in what that leaves HIP_VISIBLE_DEVICES, or CUDA's variable where that is not set.
std::vector<GpuDevice> visible_to_hip(const std::vector<GpuDevice>& devices, const Environment& environment);

inline constexpr const char* kHipVariables[] = {"HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"};

// Whether CUDA numbers these devices in an order of its own, the fastest model first, where ferrun has that of their
// addresses: of several models, unless CUDA_DEVICE_ORDER or UUIDs say otherwise.
bool numbered_by_speed(const std::vector<GpuDevice>& gpus, const Environment& environment);

struct VisibleGpus {
  std::vector<GpuDevice> devices;
  // Of the variable's value, with which a process sees the device of the same index alone.
  std::vector<std::string> names;
  std::string variable = "CUDA_VISIBLE_DEVICES";
};

// Of CUDA, or of HIP where CUDA sees none: no machine has both.
VisibleGpus visible_gpus(const HostFacts& facts, MigInstances instances);

}  // namespace ferrun
