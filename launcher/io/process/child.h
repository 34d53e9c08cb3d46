// One child of this process: its end comes from the loop, with the raw wait status, because `exit 9` and SIGKILL must
// not look alike. Noticed through a pidfd; where the kernel is too old for one, a sandbox denies it or no descriptor is
// left, SIGCHLD says that some child has ended and this very pid is asked. Never waits: a zombie that a debugger holds
// may not be reaped for hours.
//
// Ownership: who started the process. Thread rule: the thread that runs `io`.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>

namespace ferrun {

class Child {
 public:
  // Called once, when the process is reaped: from the loop, or from within reap(). It may destroy the Child.
  using Ended = std::function<void(int wait_status)>;

  // `pid` is a child of this process that nobody else reaps.
  Child(boost::asio::io_context& io, pid_t pid, Ended ended);
  // Watches no longer. The process is neither ended nor reaped.
  ~Child();
  Child(Child&&) noexcept;
  Child& operator=(Child&&) noexcept;

  pid_t pid() const;
  // Reaps it if it has ended, without waiting. True when it is reaped, now or before.
  bool reap();

 private:
  struct Watch;
  std::shared_ptr<Watch> watch_;  // handlers on the loop hold it weakly
};

}  // namespace ferrun
