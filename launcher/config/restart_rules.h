// --on-exit and --restart-delay: what the options say about a failure. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"
#include "launcher/cli/parse.h"
#include "rendezvous/job/restart_policy.h"

namespace ferrun {

// "3=stop,SIGKILL=restart,40-49=spend,oom=stop": what, an equals sign, what follows; kUsage with what was expected for
// anything else. Empty text has no rules.
Result<std::vector<ExitRule>> parse_exit_rules(const std::string& text);

// kUsage with one line that names the option at fault. `seed` is for the random part of delays.
Result<RestartPolicy> read_restart_policy(const RawOptions& options, uint64_t seed);

}  // namespace ferrun
