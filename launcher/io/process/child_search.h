// This process's children where /proc does not list them: it is not mounted, or no descriptor is left to read it with.
// The kernel is asked for each number instead, since waitid(2) knows who is whose child. Slow beside /proc, and exact.
#pragma once

#include <sys/types.h>

#include <vector>

namespace ferrun {

// Whether this process has any child, zombies included: the exact test for "nothing is left".
bool has_children();

// The children among the numbers given since this process was born, as far as these are known to be so few; when there
// is none among them, among all numbers, which takes seconds.
std::vector<pid_t> children_by_asking();

}  // namespace ferrun
