// Whether the kernel has killed for want of memory: what it counted in this job's own control group, of either version.
// The counter of the whole machine, where the group has none, tells of somebody, perhaps of a stranger, and is worded
// so.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace ferrun {

class OomWatch {
 public:
  // Counts from now on; reads a few files, a tenth of a millisecond. Without them nothing is ever noticed.
  explicit OomWatch(std::filesystem::path proc = "/proc");

  // "the kernel's out-of-memory killer struck once in this control group (limit 512 MiB)"; empty when it did not. Says
  // how many processes died, not which: of use for a worker that was ended by SIGKILL alone.
  std::string evidence() const;
  // Whether it speaks of the job's own control group, not of the whole machine.
  bool counts_own_group() const { return in_group().has_value(); }
  void restart();

 private:
  // The files of this process's group; empty: none that counts.
  struct Group {
    std::filesystem::path counters;
    std::filesystem::path limit;
  };
  static Group own_group(const std::filesystem::path& proc);
  std::optional<uint64_t> in_group() const;

  std::filesystem::path proc_;
  Group group_;
  uint64_t in_group_ = 0;
  uint64_t on_machine_ = 0;
};

}  // namespace ferrun
