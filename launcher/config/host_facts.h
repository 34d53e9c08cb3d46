// What the configuration needs to know of the machine, read once by launcher/io/host_facts and passed down: a value.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/environment.h"
#include "common/result.h"

namespace ferrun {

// Questions about files that program resolution asks; answered by the real file system or by a test's table.
struct FileQueries {
  enum class Kind { kMissing, kFile, kDirectory, kOther };
  std::function<Kind(const std::filesystem::path&)> kind;
  std::function<bool(const std::filesystem::path&)> executable;      // access(2) with X_OK
  std::function<bool(const std::filesystem::path&)> has_fork_point;  // carries the note of ferrun::client
  // The first 4096 bytes of the file, or one line that says why it cannot be read.
  std::function<Result<std::string>(const std::filesystem::path&)> beginning;
};

struct HostFacts {
  Environment environment;  // ferrun's own
  std::string hostname;
  std::filesystem::path ferrun_folder;  // where the ferrun binary lies; empty when /proc does not tell
  std::string start_stamp;              // "20261123T183455", UTC
  std::array<uint64_t, 4> random{};     // from the kernel; names that must differ between jobs are made of it
  std::optional<uint64_t> open_files;   // the soft limit that ferrun was started with
  FileQueries files;
  // Asked only when the number of workers depends on it.
  std::function<int()> usable_cores;  // by affinity and cgroup quota, at least 1
  // UUIDs of the devices that the NVIDIA driver offers to this process, in its order; none without a driver.
  std::function<std::optional<std::vector<std::string>>()> gpu_uuids;
};

}  // namespace ferrun
