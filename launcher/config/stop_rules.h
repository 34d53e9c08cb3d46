// By what and how a node's workers are stopped. Pure; a value.
#pragma once

#include <chrono>
#include <csignal>
#include <vector>

#include "common/time.h"

namespace ferrun {

struct StopRules {
  std::vector<int> signals = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};  // to ferrun: they end the job
  // From SIGTERM to SIGKILL.
  Duration failure_grace = std::chrono::seconds(5);      // after a failure, or where a node is gone
  Duration shutdown_timeout = std::chrono::seconds(30);  // otherwise
};

}  // namespace ferrun
