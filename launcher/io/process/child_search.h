// This process's children where /proc does not list them: it is not mounted, or no descriptor is left to read it with.
// The kernel is asked for each number instead, since waitid(2) knows who is whose child. Slow beside /proc, and exact.
#pragma once

#include <sys/types.h>

#include <vector>

namespace ferrun {

// The kernel's PID_MAX_LIMIT: numbers are below it.
inline constexpr pid_t kPidLimit = 1 << 22;

// Whether this process has any child, zombies included: the exact test for "nothing is left".
bool has_children();

// The children among the numbers from `first` to below `end`.
std::vector<pid_t> children_among(pid_t first, pid_t end);

// The children among the numbers given since this process was born, as far as these are known to be so few; when there
// is none among them, among all numbers, which takes seconds.
std::vector<pid_t> children_by_asking();

}  // namespace ferrun
