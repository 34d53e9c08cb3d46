// What a test does without the Python peer (real torch, for parity suites and for Python ranks).
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/peer_path.h"

namespace ferrun {

// Where FERRUN_REQUIRE_PEER=1 (CI), a test without its peer fails instead of being skipped.
inline bool peer_required() {
  const char* required = std::getenv("FERRUN_REQUIRE_PEER");
  return required != nullptr && std::string(required) == "1";
}

// The first statement of a test that needs the peer.
#define FERRUN_NEEDS_PEER()                                                                               \
  if (::ferrun::peer_python().empty()) {                                                                  \
    if (::ferrun::peer_required()) FAIL() << "the Python peer is required and absent: run scripts/setup"; \
    GTEST_SKIP() << "no Python peer (set FERRUN_PEER_PYTHON, or install it with scripts/setup)";          \
  }                                                                                                       \
  static_assert(true, "")

}  // namespace ferrun
