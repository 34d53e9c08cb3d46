// The lease guard's agent side: what the agent of a job with several nodes tells its sentinel, whose side is the
// LeaseWatch. A job of one node has no lease, and says nothing.
//
// When the lease ends the sentinel kills the workers, whatever the agent does: an agent that stands still (SIGSTOP, a
// debugger, a full disk below its log) must not train on while the other nodes start a round without it. And the
// sentinel holds a duplicate of the connection to the coordinator: when the agent dies the connection ends only after
// every process of the job is gone, so that its end proves that.
//
// Ownership: owned by the node driver. Thread rule: one thread.
#pragma once

#include <optional>

#include "common/result.h"
#include "common/time.h"
#include "launcher/io/process/sentinel.h"

namespace ferrun {

class LeaseGuard {
 public:
  // Of become_agent_under_sentinel(); takes over the link's `page`, and speaks through its `messages`,
  // whose owner, the SignalInbox, must outlive it.
  explicit LeaseGuard(const SentinelLink& link);
  ~LeaseGuard();
  LeaseGuard(const LeaseGuard&) = delete;
  LeaseGuard& operator=(const LeaseGuard&) = delete;

  // No worker may live after `until` (boottime_now()'s); none while no worker runs. To be called before the first
  // worker is started.
  void hold(std::optional<TimePoint> until);

  // The sentinel holds a duplicate of this descriptor in place of an earlier one. The connection is to be one whose end
  // is a reset (SO_LINGER with a time of 0): the sentinel makes it an end of the stream once it holds its duplicate. So
  // an end proves something only then, and a failure here, or there, costs no more than the wait for the lease. -1,
  // what was left where no descriptor could be had, is a failure too.
  Status share(int connection);
  void forget();

  // The sentinel holds a duplicate of this descriptor too, to its own end, and writes a word into its file when every
  // process of the job is gone.
  Status claim(int file);

 private:
  Status tell(LeaseMessage message, int descriptor);

  LeasePage* page_;
  int messages_;
  std::optional<TimePoint> until_;
};

}  // namespace ferrun
