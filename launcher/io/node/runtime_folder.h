// Where the agents of one user on this machine leave what lives no longer than they do: status sockets, the state of a
// coordinator that an agent hosts.
#pragma once

#include <filesystem>
#include <string>

#include "common/environment.h"
#include "common/result.h"

namespace ferrun {

// $XDG_RUNTIME_DIR/ferrun, or /tmp/ferrun-UID where that is not set.
std::filesystem::path runtime_folder(const Environment& environment);

// Makes it, for its owner alone. kPlatform when it cannot be made, or is there and somebody else's: in /tmp anybody can
// be first.
Status make_runtime_folder(const std::filesystem::path& folder);

}  // namespace ferrun
