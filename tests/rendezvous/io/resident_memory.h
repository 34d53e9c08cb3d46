// How much memory this process holds, for tests of bounds.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <fstream>

namespace ferrun {

// A bound that small buffers keep and hundreds of MiB break. A sanitizer keeps what was freed, so there it bounds
// nothing.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr size_t kLittleMemory = size_t{1} << 40;
#else
inline constexpr size_t kLittleMemory = size_t{64} << 20;
#endif

inline size_t resident_bytes() {
  size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace ferrun
