// Asks the kernel from which NUMA nodes this process may have memory, and whether it may say which.
#pragma once

#include <filesystem>

#include "launcher/config/cpu_topology.h"

namespace ferrun {

// The nodes are read below `root`: "/", or a test's folder. What concerns the policy is this process's own, and stays
// as it is. Thread rule: of the calling thread, whose policy its children get.
NodeMemory read_node_memory(const std::filesystem::path& root);

}  // namespace ferrun
