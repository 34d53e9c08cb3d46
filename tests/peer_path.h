// Where the Python peer is: real torch and torchrun, in an environment of their own. For tests and benches.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
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

// The torchrun beside it; empty when there is none.
inline std::string peer_torchrun() {
  const std::string torchrun = std::filesystem::path(peer_python()).replace_filename("torchrun");
  return ::access(torchrun.c_str(), X_OK) == 0 ? torchrun : "";
}

}  // namespace ferrun
