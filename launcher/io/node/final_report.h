// What ferrun says and returns at the end: gathers the evidence that the workers left, and has the pure report made of
// it.
#pragma once

#include <string>
#include <vector>

#include "launcher/config/job_config.h"
#include "launcher/io/logs/log_router.h"
#include "launcher/node/agent_machine.h"

namespace ferrun {

struct FinalReport {
  std::vector<std::string> lines;
  int exit_status = 0;
};

// To be called when every process of the job is gone and its output is drained. Reads error files and the ends of log
// files; hands the root cause on to ferrun's own parent when that gave it a TORCHELASTIC_ERROR_FILE.
FinalReport final_report(const JobConfig& config, const Ending& ending, const AgentMachine& machine,
                         const LogRouter& router);

}  // namespace ferrun
