// Which cores this process may use, and how many.
#pragma once

#include <vector>

namespace ferrun {

// The CPUs of its affinity mask, ascending; where the kernel does not tell, all.
std::vector<int> allowed_cpus();

// The CPUs of its affinity mask, less when the CPU quota of its cgroup (v1 or v2, or of one above) allows less time: a
// quota of 2.5 CPUs counts as 3. At least 1.
int usable_cores();

}  // namespace ferrun
