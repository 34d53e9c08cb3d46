// The CPUs and the memory that this process may use, and what they share: values, read by launcher/io/probe.
#pragma once

#include <string>
#include <vector>

namespace ferrun {

// A logical CPU. Numbers are the kernel's.
struct Cpu {
  int index = 0;
  int node = 0;    // NUMA node
  int socket = 0;  // physical package
  int core = 0;    // the physical core, named by the lowest CPU on it
  int cache = 0;   // the last-level cache, named by the lowest CPU that has it
  bool operator==(const Cpu&) const = default;
};

// Ascending by index; never empty on a running machine.
using CpuTopology = std::vector<Cpu>;

// From where this process's memory may come.
struct NodeMemory {
  std::vector<int> nodes;    // NUMA nodes that have memory for it, ascending; empty: the kernel does not tell
  bool has_policy = false;   // somebody has set one already (numactl), which its children inherit
  std::string refusal = {};  // why the kernel takes no policy of it, in its words; empty: it does
};

}  // namespace ferrun
