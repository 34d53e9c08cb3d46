// The lease guard's sentinel side: what the sentinel does beside waiting for signals. An agent that holds no lease (a
// job of one node) gives it nothing to do.
//
// Ownership: owned by the sentinel's only thread; no event loop. Async-signal safety is not needed: signals are
// blocked.
#pragma once

#include <sys/types.h>

#include <csignal>

#include "common/io/unique_fd.h"
#include "launcher/io/process/lease_page.h"

namespace ferrun {

class LeaseWatch {
 public:
  // `messages` is the sentinel's end of the pair, and stays the caller's. Where the kernel grants no timer or signalfd
  // it looks every 100 ms.
  LeaseWatch(LeasePage* page, int messages);

  // As sigwaitinfo(2), for signals that are blocked; enforces the lease on the children of `agent` meanwhile.
  int wait_for_signal(const sigset_t& signals, siginfo_t* info, pid_t agent);

  // Kills every process below the agent if the lease is over; the agent itself only where its children cannot be found
  // in another way, without /proc: then they come to the sentinel. For a moment at which they must not continue.
  void enforce(pid_t agent);

  // Ends the connection that it holds, for every process of the job is gone, and says so in the node's claim: what has
  // arrived is read away first, so that the peer sees an end of the stream and no reset.
  void let_go();

 private:
  bool over() const;
  void take_messages();
  void hold(UniqueFd connection);
  void arm(int64_t at);  // 0: not at all

  LeasePage* page_;
  int messages_;
  int signals_ = -1;  // a signalfd: readable when one is pending
  int timer_ = -1;
  UniqueFd connection_;
  UniqueFd claim_;  // a file, locked
};

}  // namespace ferrun
