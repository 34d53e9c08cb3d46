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
#include "launcher/config/cpu_topology.h"

namespace ferrun {

// Questions about files that program resolution asks; answered by the real file system or by a test's table.
struct FileQueries {
  // kUnreachable: the way to it is closed to this user, or its links lead in a circle.
  enum class Kind { kMissing, kUnreachable, kFile, kDirectory, kOther };
  std::function<Kind(const std::filesystem::path&)> kind;
  std::function<bool(const std::filesystem::path&)> executable;      // access(2) with X_OK
  std::function<bool(const std::filesystem::path&)> has_fork_point;  // carries the note of ferrun::client
  // The first 4096 bytes of the file, or one line that says why it cannot be read.
  std::function<Result<std::string>(const std::filesystem::path&)> beginning;
  // Where a symbolic link leads to, as it stands there; none for what is no link.
  std::function<std::optional<std::filesystem::path>(const std::filesystem::path&)> link_target;
  std::function<bool(const std::filesystem::path&)> writable_folder;  // files can be made in it
  struct Secret {
    std::string text;
    bool others_may_read = false;  // others than its owner, on this machine
  };
  // The whole file, a pipe too, or one line that says why it cannot be read or is too large for a secret.
  std::function<Result<Secret>(const std::filesystem::path&)> secret;
};

// What stands in /dev of accelerators that ferrun cannot count as their library would.
struct DeviceNodes {
  enum class Kind {
    kIntelGpu,
    kIntelGraphics,  // part of the processor
    kLaptopNpu,      // likewise
    kHabana,
    kAscend,
    kWsl,    // what Windows passes through
    kOther,  // of the kernel's class of accelerators
  };
  Kind kind = Kind::kOther;
  std::string path;  // of the first one
  int count = 0;
};

// A GPU that its driver offers to this process.
struct GpuDevice {
  std::string uuid;                             // "GPU-..."; of a MIG instance "MIG-..."; empty: not told
  std::string pci_address = {};                 // "0000:dc:00.0"; empty: not told
  std::string model = {};                       // likewise
  std::optional<int> numa_node = std::nullopt;  // as the kernel says, -1 where it does not know; none: not told
  bool operator==(const GpuDevice&) const = default;
};

// A secret such that only this user's processes can read it, on all machines of one cluster: munge(7). Both fail with
// one line where there is none, or none that answers. unwrap() may be called by any thread.
struct TokenWrapping {
  std::function<Result<std::string>(const std::string& secret)> wrap;
  std::function<Result<std::string>(const std::string& wrapped)> unwrap;
};

struct HostFacts {
  Environment environment;  // ferrun's own
  std::string hostname;
  std::string called_as;                 // argv[0]
  std::filesystem::path current_folder;  // empty when it is gone
  std::filesystem::path ferrun_folder;   // where the ferrun binary lies; empty when /proc does not tell
  std::string start_stamp;               // "20261123T183455", UTC
  std::array<uint64_t, 6> random{};      // from the kernel; names that must differ between jobs are made of it
  std::optional<uint64_t> open_files;    // the soft limit that ferrun was started with
  FileQueries files;
  // Asked only when the number of workers depends on it.
  std::function<int()> usable_cores;  // by affinity and cgroup quota, at least 1
  // The devices that the NVIDIA driver offers to this process, by PCI address; none without a driver.
  std::function<std::optional<std::vector<GpuDevice>>()> nvidia_gpus;
  // The same of AMD's driver, in its order.
  std::function<std::optional<std::vector<GpuDevice>>()> amd_gpus;
  std::function<std::vector<DeviceNodes>()> other_accelerators;
  // Asked only when workers are bound: the CPUs of this process's affinity.
  std::function<CpuTopology()> cpus;
  std::function<NodeMemory()> node_memory;  // likewise
  // Used only by agents of several nodes that are given no token.
  TokenWrapping token_wrapping;
};

}  // namespace ferrun
