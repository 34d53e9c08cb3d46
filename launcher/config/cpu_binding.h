// Which CPUs each worker of a node may run on, and which node's memory it takes first: --numa-binding. The CPUs follow
// the rules of torch.numa.binding (PyTorch 2.11), with which they are compared. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "launcher/config/cpu_topology.h"
#include "launcher/config/device_count.h"
#include "launcher/config/host_facts.h"

namespace ferrun {

enum class NumaBinding {
  kNode,        // all CPUs of the NUMA node at which the worker's device is
  kSocket,      // all CPUs of that node's socket
  kExclusive,   // a share of that node's physical cores that no other worker has
  kCoreComplex  // CPUs of that node that share a last-level cache
};

// "node", "socket", "exclusive" or "core-complex".
std::optional<NumaBinding> numa_binding_of(std::string_view name);

struct WorkerCpus {
  std::vector<int> cpus;  // ascending, never empty
  std::string place;      // for a person: "NUMA node 1, where device 3 (0000:dc:00.0) is"
  // The only NUMA node of these CPUs, if its memory is to be taken before any other's.
  std::optional<int> memory_node = std::nullopt;
};

struct CpuBinding {
  std::vector<WorkerCpus> workers;    // by local rank
  std::vector<std::string> warnings;  // second halves of lines about the option
};

// The worker of local rank r belongs to the r-th device that CUDA or HIP sees. With kExclusive all visible devices have
// a share of their node, also those without a worker; the first ones have a core more where it does not divide. With
// kCoreComplex they take the complexes with the most CPUs first, and in turns where there are fewer.
//
// Where no device is visible, workers are spread evenly over the physical cores, in the order of NUMA nodes, and each
// is then bound as if it had a device at the node that it came to.
//
// The memory of a worker whose CPUs are of one node is that node's as long as it has any, by a policy that its threads
// keep wherever they run. There is none where its CPUs are of several nodes, where its node has no memory for this
// process, where this process has a policy of the user's (numactl), which its workers inherit, and where the kernel
// refuses it, of which a warning tells if there are several nodes.
//
// The error is the second half of a line about the option: more workers than devices, a device whose place is unknown,
// a node without enough CPUs that this process may use.
Result<CpuBinding> bind_workers(NumaBinding binding, const HostFacts& facts, MigInstances instances, int workers);

// "0-3,8,10-11".
std::string cpu_list_text(const std::vector<int>& cpus);

}  // namespace ferrun
