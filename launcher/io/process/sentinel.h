// The kill guarantee: however the agent ends, SIGKILL included, no process of the job is left.
//
// The process that the user started becomes the sentinel: a subreaper above the agent, which it forks into a process
// group of its own. The sentinel passes signals on to the agent, waits for it, ends workers whose lease is over, kills
// and reaps every descendant that the agent left, and ends as the agent ended. The agent watches the sentinel in turn,
// through its SignalInbox: when that one dies, everything must stop at once. Killing both in one instant is the
// documented limit.
//
// Children that the process had before (a shell's `exec > >(tee log); exec ferrun`) are not the job's: they are left
// alone and not waited for.
#pragma once

#include "common/result.h"
#include "launcher/io/process/lease_page.h"

namespace ferrun {

// Descriptors and facts that the agent gets from its sentinel.
struct SentinelLink {
  // The agent's end of the pair: signals come through it (see signal_message.h), and its end when the sentinel has
  // died, who alone holds the other one. The LeaseGuard speaks through it. Owned by the SignalInbox.
  int messages = -1;
  LeasePage* page = nullptr;  // for the LeaseGuard, which owns it
};

// To be called once, early in main, before any thread exists. Returns only in the agent (the child), with all signals
// blocked: the SignalInbox is to be made soon. In the sentinel it never returns: that process ends with the agent's
// exit status.
Result<SentinelLink> become_agent_under_sentinel();

}  // namespace ferrun
