// What `ferrun coordinator` is to run. Pure.
#pragma once

#include <string>

#include "common/result.h"
#include "launcher/cli/parse.h"
#include "launcher/config/job_config.h"

namespace ferrun {

struct CoordinatorJob {
  RendezvousConfig rendezvous;
  std::string launch_id;
  LogLevel log_level = LogLevel::kWarning;
};

// Fails with kUsage or kUser, and one line that names the option at fault.
Result<CoordinatorJob> make_coordinator_job(const CommandLine& line, const HostFacts& facts);

}  // namespace ferrun
