// Where the Python peer (real torch, for parity suites and for Python ranks) is, and what a test does without it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace ferrun {

// The peer's interpreter: FERRUN_PEER_PYTHON, else the one that scripts/setup installs; empty when there is none.
inline std::string peer_python() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  };
  if (const std::string named = variable("FERRUN_PEER_PYTHON"); !named.empty()) return named;
  std::string cache = variable("FERRUN_CACHE");
  if (cache.empty() && !variable("XDG_CACHE_HOME").empty()) cache = variable("XDG_CACHE_HOME") + "/ferrun";
  if (cache.empty()) cache = variable("HOME") + "/.cache/ferrun";
  const std::string python = cache + "/peer-2.11.0/bin/python";
  return ::access(python.c_str(), X_OK) == 0 ? python : "";
}

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
