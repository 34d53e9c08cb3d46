// The devices that the NVIDIA driver offers, read without CUDA.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace ferrun {

// UUIDs in the order of the driver's minor numbers, from /proc/driver/nvidia/gpus below `root` ("/", or a test's
// folder); a device whose /dev node this process may not use is left out, as in a container that was given some of the
// host's. Where only the nodes are there, their UUIDs are empty. None when there is neither: no driver.
std::optional<std::vector<std::string>> nvidia_device_uuids(const std::filesystem::path& root);

}  // namespace ferrun
