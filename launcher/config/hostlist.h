// Slurm's short form of a list of hosts, and of how many tasks run on each. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace ferrun {

// "gpu[01-03,7],login" as gpu01 gpu02 gpu03 gpu7 login: what `scontrol show hostnames` prints. A range keeps the width
// of its first number; several brackets in one name multiply, the last one counting fastest. Text behind the last
// bracket is refused, as Slurm refuses it.
Result<std::vector<std::string>> expand_hostlist(std::string_view text);

// "2(x3),1" as 2 2 2 1: SLURM_STEP_TASKS_PER_NODE, by the place of a node in the list.
Result<std::vector<int>> expand_tasks_per_node(std::string_view text);

}  // namespace ferrun
