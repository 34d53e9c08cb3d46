// How many cores this process may use.
#pragma once

namespace ferrun {

// The CPUs of its affinity mask, less when the CPU quota of its cgroup (v1 or v2, or of one above) allows less time: a
// quota of 2.5 CPUs counts as 3. At least 1.
int usable_cores();

}  // namespace ferrun
