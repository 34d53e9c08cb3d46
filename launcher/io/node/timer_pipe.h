// The named pipe that torch's FileTimerClient writes its requests to, and the clock for its timers.
//
// Ownership: owned by LocalJob. Thread rule: all calls and callbacks on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "common/line_splitter.h"
#include "common/result.h"
#include "launcher/workers/worker_timers.h"

namespace ferrun {

class TimerPipe {
 public:
  struct Callbacks {
    std::function<void(const WorkerTimers::Overrun&)> overrun;
    std::function<void(const std::string&)> warn;  // a line for a person
  };

  // Makes the pipe, for this user alone, in place of one that is there already. kUser names the path: it cannot be
  // made, or something else lies there.
  static Result<std::unique_ptr<TimerPipe>> make(boost::asio::io_context& io, const std::filesystem::path& path,
                                                 Callbacks callbacks);
  // Removes the pipe.
  ~TimerPipe();
  TimerPipe(const TimerPipe&) = delete;
  TimerPipe& operator=(const TimerPipe&) = delete;

  // It has ended.
  void forget(pid_t pid) { timers_.forget(pid); }

 private:
  TimerPipe(boost::asio::io_context& io, std::filesystem::path path, int fd, Callbacks callbacks);

  void wait_for_requests();
  void read_requests();
  void wait_for_the_first();
  void look();

  std::filesystem::path path_;
  boost::asio::posix::stream_descriptor pipe_;
  boost::asio::steady_timer clock_;
  LineSplitter lines_;
  WorkerTimers timers_;
  Callbacks callbacks_;
};

}  // namespace ferrun
