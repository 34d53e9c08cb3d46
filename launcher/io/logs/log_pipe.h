// One worker stream that ferrun reads: the reading end of its pipe, and where its bytes go.
//
// Reads only while every destination takes more: a destination whose queue is full makes the worker wait (see LogFlow).
// A console that stands still is caught up from the log file later, where there is one; a file alone is waited for
// without end, as the worker would if it wrote to it itself.
// Ownership: owned by LogRouter, which the destinations outlive. Thread rule: the thread that runs the event loop.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/line_splitter.h"
#include "common/time.h"
#include "launcher/io/logs/line_filter.h"
#include "launcher/io/logs/log_sink.h"
#include "launcher/logs/log_tail.h"

namespace ferrun {

class LogPipe {
 public:
  struct Destinations {
    std::optional<LogOutlet> file;
    std::optional<LogOutlet> console;
    std::string prefix;  // of console lines
    size_t longest_line = 0;
    // What gives the stream to the console from the byte `offset` on, where a line splitter would be in this state.
    // None where the console cannot catch up; null when it cannot just now.
    std::function<std::shared_ptr<LogSource>(uint64_t offset, const LineSplitter& state)> catch_up;
    std::shared_ptr<const LineFilter> filter;  // of console lines; none: null
  };

  enum class Progress { kMore, kEmpty, kWaiting, kEnded };

  // Takes over `fd`, a non-blocking reading end.
  LogPipe(boost::asio::io_context& io, int fd, Destinations destinations);

  // Reads once, if the destinations allow it, and hands on what came. kWaiting: a destination is full, ask again.
  Progress read_once(TimePoint now);

  // Hands on what the pipe holds at this moment, whatever the destinations say, and ends the stream.
  void read_rest();

  // From now on carries what the pipe holds at this moment, and then ends the stream.
  void limit_to_rest();

  // A destination is full, and not given up.
  bool waits_for_progress() const;

  // True once the writing end is closed and everything is handed on.
  bool ended() const { return ended_; }

  // Bytes of a line that has not ended which the console could take and does not show yet: a prompt, or the first of
  // two writes of one line. Shown when nothing follows for a moment.
  bool has_unshown_part() const;
  void show_part();
  // Runs from has_unshown_part() on; the router's.
  std::optional<boost::asio::steady_timer>& part_timer() { return part_timer_; }
  uint64_t delivered() const { return delivered_; }

  LogTail& tail() { return tail_; }
  boost::asio::posix::stream_descriptor& descriptor() { return descriptor_; }

  // Sinks that this stream waits for; null when there is none.
  LogSink* waits_for_file() const { return file_verdict_ == LogFlow::Verdict::kWait ? to_.file->sink : nullptr; }
  LogSink* waits_for_console() const {
    return console_verdict_ == LogFlow::Verdict::kWait ? to_.console->sink : nullptr;
  }

 private:
  void judge(TimePoint now);
  size_t most_to_read() const;
  void deliver(std::string_view bytes);
  void show(std::string_view bytes);
  void duplicate(std::string_view lines);
  void append_line(std::string& lines, std::string_view line);
  void write_to_console(std::string lines);
  bool owns_open_line() const { return to_.console->sink->open_line.load() == this; }
  void leave_open_line();
  void end();

  boost::asio::posix::stream_descriptor descriptor_;
  Destinations to_;
  LineSplitter splitter_;
  LogTail tail_;
  uint64_t delivered_ = 0;  // bytes
  size_t shown_part_ = 0;   // bytes of the line that has not ended
  std::optional<boost::asio::steady_timer> part_timer_;
  bool late_ = false;                  // the console gets what is read now from the file
  std::shared_ptr<LogSource> source_;  // while it does
  LogFlow::Verdict file_verdict_ = LogFlow::Verdict::kAccept;
  LogFlow::Verdict console_verdict_ = LogFlow::Verdict::kAccept;
  std::optional<size_t> left_;  // what is carried before the stream ends, if that is decided
  bool ended_ = false;
};

}  // namespace ferrun
