// Where the agents of one user on this machine leave what lives no longer than they do: status sockets, the state of a
// coordinator that an agent hosts.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/environment.h"
#include "common/result.h"

namespace ferrun {

// The places for it, the best one first: ferrun below $XDG_RUNTIME_DIR where that is set, and ferrun-UID in /tmp, in
// /dev/shm and in /var/tmp, since in a folder for all anybody can be first.
std::vector<std::filesystem::path> runtime_folders(const Environment& environment);

// Makes it, for its owner alone. kPlatform when it cannot be made, or is there and not this user's alone.
Status make_runtime_folder(const std::filesystem::path& folder);

// Whether it is there and this user's alone: a folder, no link, that nobody else may enter.
Status check_runtime_folder(const std::filesystem::path& folder);

struct RuntimeFolder {
  std::filesystem::path path;        // empty: none could be had
  std::vector<std::string> refused;  // one line for each better one that could not
};

// The first of `folders` that can be made.
RuntimeFolder open_runtime_folder(const std::vector<std::filesystem::path>& folders);

}  // namespace ferrun
