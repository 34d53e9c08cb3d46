// What the kernel says from now on, read from /dev/kmsg; on many machines it is the administrator's alone.
//
// Thread rule: one thread; no call waits.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/io/unique_fd.h"

namespace ferrun {

class KernelLog {
 public:
  explicit KernelLog(const std::filesystem::path& path = "/dev/kmsg");

  bool readable() const { return static_cast<bool>(file_); }
  // The lines since the construction or the last call, as "priority,sequence,time,flags;text". Lines that the kernel
  // has overwritten meanwhile are missing.
  std::vector<std::string> news();

 private:
  UniqueFd file_;
};

}  // namespace ferrun
