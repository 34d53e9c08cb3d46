// How many seeds a random suite tries.
#pragma once

#include <cstdint>

namespace ferrun {

// `full`, or a tenth of it in code that a sanitizer watches: that is ten times slower, and finds in a few seeds what it
// is there to find.
constexpr uint64_t seeds_to_try(uint64_t full) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return full / 10;
#else
  return full;
#endif
}

}  // namespace ferrun
