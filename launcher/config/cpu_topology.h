// The CPUs that this process may use, and what they share: a value, read by launcher/io/probe.
#pragma once

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

}  // namespace ferrun
