// The end of everything that an agent left to its sentinel. With /proc the sentinel's children are listed; without it
// (not mounted, another PID namespace's, or no descriptor left to read it) the kernel is asked about every number that
// a process may have, which may take seconds but misses none: the guarantee never depends on /proc.
//
// For a process with one thread that waits for its children nowhere else.
#pragma once

#include <sys/types.h>

#include <vector>

namespace ferrun {

// The children that this process has now, from a life before the job: a shell that executes ferrun in its place keeps
// its children.
std::vector<pid_t> children_from_before();

// SIGKILL for every child but the `spared`, and for every orphan that this brings, until none is left and all are
// reaped. `near`: a number around which the job's are most likely.
void kill_and_reap_all_children(const std::vector<pid_t>& spared, pid_t near);

}  // namespace ferrun
