// Reads from /sys what the CPUs of this machine share.
#pragma once

#include <filesystem>
#include <vector>

#include "launcher/config/cpu_topology.h"

namespace ferrun {

// Of the CPUs in `allowed` (ascending), read below `root`: "/", or a test's folder. What the kernel does not tell has
// the plainest answer: one NUMA node 0, one socket 0, each CPU a core, and one cache for each node.
CpuTopology read_cpu_topology(const std::filesystem::path& root, const std::vector<int>& allowed);

// "0-2,4" as {0, 1, 2, 4}: a list of the kernel's. Empty for what is none.
std::vector<int> parse_cpu_list(const std::string& text);

}  // namespace ferrun
