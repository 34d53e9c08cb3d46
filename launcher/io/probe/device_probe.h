// The accelerators that this process may use, read from /dev, /proc and /sys, without their libraries.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "launcher/config/host_facts.h"

namespace ferrun {

// All read below `root`: "/", or a test's folder.

// In the order of PCI addresses, which is that of CUDA where all devices are of one model, and of nvidia-smi: from
// /proc/driver/nvidia/gpus. A device whose /dev node this process may not use is left out, as in a container that was
// given some of the host's. Where only the nodes are there, nothing is told of them. None when there is neither: no
// driver.
std::optional<std::vector<GpuDevice>> nvidia_gpus(const std::filesystem::path& root);

// The same of AMD's driver, whose devices are the nodes of its topology that have a GPU. None without /dev/kfd; empty
// where that does not tell what stands behind it.
std::optional<std::vector<GpuDevice>> amd_gpus(const std::filesystem::path& root);

// The device nodes of others, one entry for each kind that is there.
std::vector<DeviceNodes> accelerator_nodes(const std::filesystem::path& root);

}  // namespace ferrun
