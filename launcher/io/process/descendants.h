// The processes below this one. A subreaper (the agent, the sentinel) inherits every orphan among its descendants, so
// killing its own children again and again, until it has none, ends the whole tree: a killed process forks no more, and
// its children are re-parented before it can be reaped. Own children alone are ever signalled to end: their pids cannot
// be recycled before this process reaps them.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace ferrun {

// This process's children, zombies included. An empty list means that there are none: that is the kernel's word, not
// /proc's. Where /proc cannot be read, they are found by asking for numbers (child_search.h).
std::vector<pid_t> own_children();

// Whether /proc is there, tells of the PID namespace that this process is in, and lists children now. Without it
// own_children() is slow, and what asks for the children of another process finds none.
bool can_list_children();

// The command of the process, "python3"; empty where /proc does not tell.
std::string name_of(pid_t pid);
// Its arguments, each ended by NUL; empty where /proc does not tell, or where a look could take long.
std::string command_line_of(pid_t pid);

// Whether this process descends from `pid`, as far as /proc tells.
bool is_ancestor(pid_t pid);

// Sends `signal` to `root` and everything below it, parents first. Best effort: for signals that may miss a process
// that is being born (SIGSTOP, SIGCONT), not for the kill guarantee.
void signal_tree(pid_t root, int signal);

// SIGKILL for every living child of `parent`, another process and a subreaper, and for every orphan that this brings,
// until none is alive or 50 ms are over; the parent need not reap them. Each is held by a pidfd and asked for its
// parent before it is signalled, so that no stranger with a recycled pid is hit; where the kernel denies pidfds it is
// asked right before the signal. Asks `wanted` before each round of signals, when the children are found already: none
// that is born later than an answer of false is hit. False where /proc does not tell which they are.
bool kill_children_of(pid_t parent, const std::function<bool()>& wanted);

}  // namespace ferrun
