// Which process listens on a TCP port of this machine, read from /proc; to tell the user whom a bind failed against.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferrun {

// The socket inodes that listen on `port`, in a text of the shape of /proc/net/tcp or tcp6.
std::vector<uint64_t> listening_inodes(std::string_view table, uint16_t port);

// "pid 4242 (python3)", or nothing when no process that this user may look at listens there. Reads the descriptors of
// every visible process: for the error path only.
std::optional<std::string> port_owner(uint16_t port);

}  // namespace ferrun
