// What `ferrun status` shows of what the agents of this machine answered. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"

namespace ferrun {

struct AgentStatus {
  std::string job_id;
  int agent = 0;       // its pid
  std::string status;  // JSON, for job_status_from_json()
};

// The state of one job, as text for a terminal or as one line of JSON, {"job": ID, "status": …}. `wanted`: the job's
// id; empty where one job runs alone. Of several agents of the job the one that reaches the coordinator is believed.
// kUser when there is no such job; kUsage when there are several and none is named.
Result<std::string> status_report(const std::vector<AgentStatus>& answers, const std::string& wanted, bool as_json);

}  // namespace ferrun
