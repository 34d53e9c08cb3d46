// The kill guarantee: however the agent ends, SIGKILL included, no process of the job is left.
//
// The process that the user started becomes the sentinel: a subreaper above the agent, which it forks into a process
// group of its own. The sentinel forwards signals to the agent, waits for it, kills and reaps every descendant that the
// agent left, and ends as the agent ended. The agent watches the sentinel in turn: when that one dies, the agent's
// `on_sentinel_death` must stop everything at once. Killing both in one instant is the documented limit.
#pragma once

#include "common/result.h"
#include "launcher/io/process/lease_page.h"

namespace ferrun {

// Descriptors and facts that the agent gets from its sentinel.
struct SentinelLink {
  int sentinel_pidfd = -1;  // readable when the sentinel has died; owned by the agent
  int sentinel_pid = 0;
  // Of Guard::kLeases, for the LeaseGuard.
  LeasePage* page = nullptr;
  int messages = -1;
};

enum class Guard {
  kProcesses,  // nothing outlives the agent
  kLeases,     // and no worker its lease: a job with several nodes (see LeaseGuard)
};

// To be called once, early in main, before any thread exists. Returns only in the agent (the child). In the sentinel it
// never returns: that process ends with the agent's exit status.
Result<SentinelLink> become_agent_under_sentinel(Guard guard = Guard::kProcesses);

}  // namespace ferrun
