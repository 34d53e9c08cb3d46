// Where the Python peer is: real torch and torchrun, in an environment of their own. For tests and benches.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace ferrun {

// The interpreter that `variable` names, else the one of the environment that scripts/setup installs into the cache
// under `name`; empty when there is none.
inline std::string python_of(const char* variable, const std::string& name) {
  const auto value_of = [](const char* variable_name) {
    const char* value = std::getenv(variable_name);
    return std::string(value != nullptr ? value : "");
  };
  if (const std::string named = value_of(variable); !named.empty()) return named;
  std::string cache = value_of("FERRUN_CACHE");
  if (cache.empty() && !value_of("XDG_CACHE_HOME").empty()) cache = value_of("XDG_CACHE_HOME") + "/ferrun";
  if (cache.empty()) cache = value_of("HOME") + "/.cache/ferrun";
  const std::string python = cache + "/" + name + "/bin/python";
  return ::access(python.c_str(), X_OK) == 0 ? python : "";
}

// The peer's interpreter: real torch and torchvision.
inline std::string peer_python() { return python_of("FERRUN_PEER_PYTHON", "peer-2.11.0"); }

// The one with TensorBoard and scikit-learn.
inline std::string report_peer_python() { return python_of("FERRUN_REPORT_PEER_PYTHON", "report-peer"); }

// The torchrun beside it; empty when there is none.
inline std::string peer_torchrun() {
  const std::string torchrun = std::filesystem::path(peer_python()).replace_filename("torchrun");
  return ::access(torchrun.c_str(), X_OK) == 0 ? torchrun : "";
}

}  // namespace ferrun
