// The signals of a job, as its agent hears of them: those that reached the agent itself, and those that its sentinel
// took and passed on. Whoever signals every process of a job at once gives one order that arrives on both ways, so the
// two are never merged.
//
// Ownership: owned by the agent's LocalJob; takes the link's `messages` over. Thread rule: all on the thread that runs
// `io`; made before other threads are, which inherit what it blocks.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "launcher/io/process/sentinel.h"

namespace ferrun {

struct JobSignal {
  int signal = 0;
  bool direct = false;         // to the agent itself; else the sentinel passed it on
  bool from_terminal = false;  // or from the kernel: nobody's kill(2)
  pid_t sender = 0;            // 0: unknown
};

class SignalInbox {
 public:
  struct Callbacks {
    std::function<void(const JobSignal&)> arrived;
    // Once: nobody is left to end the job if this process dies.
    std::function<void()> sentinel_died;
  };

  // From now on `signals` are reported, however the sentinel or the kernel delivers them, and all others have their
  // usual effect on this process again (become_agent_under_sentinel had blocked them). Those that the process was
  // started with ignored stay so, as for the sentinel.
  SignalInbox(boost::asio::io_context& io, const SentinelLink& link, std::vector<int> signals, Callbacks callbacks);
  ~SignalInbox();
  SignalInbox(const SignalInbox&) = delete;
  SignalInbox& operator=(const SignalInbox&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ferrun
