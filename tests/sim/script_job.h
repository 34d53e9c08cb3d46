// The commands of scripts as values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "tests/sim/job_plan.h"

namespace ferrun::sim {

// "250ms", "5s".
std::optional<Duration> parse_duration(const std::string& text);
// job nodes=3 workers=2 ...
Result<JobPlan> parse_job(const std::vector<std::string>& words);
// kill node1, cut node1 node2 for 5s, ...
Result<Fault> parse_fault(const std::vector<std::string>& words, const JobPlan& plan);

}  // namespace ferrun::sim
