// A thread that takes no signal: they are the event loop's.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <functional>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

namespace ferrun {

// None where the machine has no room for another thread: a limit on processes (ulimit -u, a container's pids), no
// memory for a stack. That may pass, and whoever needs the work done does it himself meanwhile.
inline std::optional<std::thread> start_quiet_thread(std::function<void()> body) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::optional<std::thread> thread;
  try {
    thread.emplace(std::move(body));
  } catch (const std::system_error&) {
    thread.reset();
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace ferrun
