// Which files of a folder are opened, by whatever process, in which order: the kernel tells (inotify), the programs
// know nothing of it.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/io/unique_fd.h"

namespace ferrun::testing {

// Thread rule: one thread.
class OpenedFiles {
 public:
  // Of `root` and every folder that is below it now.
  explicit OpenedFiles(const std::filesystem::path& root);

  // Whether the kernel can tell; a machine may have used up its inotify instances.
  bool watching() const { return static_cast<bool>(queue_) && !overflown_; }
  // Paths below the root, from the first opening on, one for each opening.
  const std::vector<std::string>& so_far();

 private:
  std::filesystem::path root_;
  UniqueFd queue_;
  std::map<int, std::string> folders_;  // by watch descriptor; relative to the root
  std::vector<std::string> opened_;
  bool overflown_ = false;
};

}  // namespace ferrun::testing
