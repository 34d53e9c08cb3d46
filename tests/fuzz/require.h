// How a fuzzer says what is broken.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace ferrun {

inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

}  // namespace ferrun
