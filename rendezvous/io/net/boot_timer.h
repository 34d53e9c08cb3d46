// A timer on the event loop by CLOCK_BOOTTIME, whose time goes on while the machine sleeps: a lease that ended then has
// ended when it wakes.
//
// Ownership: owned by a driver, on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "common/time.h"

namespace ferrun {

class BootTimer {
 public:
  // Throws std::system_error when the kernel gives no timer.
  BootTimer(boost::asio::io_context& io, std::function<void()> on_time);
  ~BootTimer();

  // Calls on_time once from the loop, at `when` (boottime_now()'s) or as soon after it as the loop comes to it; at once
  // when that is past. Replaces what was set. None: does not call.
  void set(std::optional<TimePoint> when);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the pending wait
};

}  // namespace ferrun
