#include "launcher/io/probe/node_memory.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "common/io/small_file.h"
#include "launcher/io/probe/cpu_topology.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

// Of the cpuset. Where the kernel does not tell, every node.
std::vector<int> only_allowed(const std::vector<int>& nodes, const fs::path& status) {
  constexpr std::string_view kField = "Mems_allowed_list:";
  std::istringstream lines(read_small_file(status).bytes);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(kField)) continue;
    const std::vector<int> allowed = parse_cpu_list(line.substr(kField.size()));
    std::vector<int> both;
    std::ranges::set_intersection(nodes, allowed, std::back_inserter(both));
    return both;
  }
  return nodes;
}

}  // namespace

NodeMemory read_node_memory(const fs::path& root) {
  NodeMemory memory;
  const std::string with_memory = read_small_file(root / "sys/devices/system/node/has_memory").bytes;
  memory.nodes = only_allowed(parse_cpu_list(with_memory), root / "proc/self/status");
  int policy = MPOL_DEFAULT;
  if (syscall(SYS_get_mempolicy, &policy, nullptr, 0UL, nullptr, 0UL) != 0) {
    memory.refusal = std::strerror(errno);
  } else if (policy != MPOL_DEFAULT) {
    memory.has_policy = true;
  } else if (syscall(SYS_set_mempolicy, MPOL_DEFAULT, nullptr, 0UL) != 0) {  // changes nothing
    memory.refusal = std::strerror(errno);
  }
  return memory;
}

}  // namespace ferrun
