// All bytes into a descriptor, however many writes it takes.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace ferrun {

// False, with errno set, where the descriptor refused; some bytes may have been written by then. On a blocking
// descriptor it waits.
inline bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace ferrun
