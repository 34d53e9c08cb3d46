// Whether the kernel has killed for want of memory: its counters, of this job's control group and of the whole machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace ferrun {

class OomWatch {
 public:
  // Counts from now on. Without the files nothing is ever noticed.
  explicit OomWatch(std::filesystem::path proc = "/proc", std::filesystem::path cgroups = "/sys/fs/cgroup");

  // "the kernel's out-of-memory killer struck once in this control group (limit 512 MiB)"; empty when it did not.
  std::string evidence() const;
  void restart();

 private:
  std::filesystem::path proc_;
  std::filesystem::path group_;  // of this process, in the unified hierarchy; empty: unknown
  uint64_t in_group_ = 0;
  uint64_t on_machine_ = 0;
};

}  // namespace ferrun
