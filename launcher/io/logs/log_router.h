// Carries workers' output to log files and to ferrun's own streams without ever stalling supervision.
//
// A stream that is only redirected is given the file itself: no copy through ferrun. Any other is a pipe, read by the
// event loop; its bytes go to the file as they are, and its whole lines (see LineSplitter) behind their prefix to the
// console. Files are written by a thread of their own behind a bounded queue, the console by another.
// A destination that is only slower than the workers makes them wait, as it would if they wrote to it themselves. One
// that stands still (stopped terminal, dead disk) is given up after its patience, and one that fails (closed pipe,
// full disk) at once: lines for that destination alone are lost and counted, and a line says how many, where and why:
// in the stream itself as soon as it takes lines again, and for files on the console as well. Ownership: owned by the
// agent driver. Thread rule: all calls and callbacks on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/time.h"
#include "launcher/logs/log_plan.h"

namespace ferrun {

class LogRouter {
 public:
  struct Options {
    int console_out = 1;
    int console_err = 2;
    size_t console_queue_bytes = 4 << 20;
    size_t file_queue_bytes = 8 << 20;
    Duration console_patience = std::chrono::seconds(1);  // how long a stopped console delays its writers, once
    Duration file_patience = std::chrono::seconds(10);
    size_t longest_line = 1 << 20;  // a longer one is split on the console
    size_t tail_lines = 30;         // kept per stream for the failure report
  };

  LogRouter(boost::asio::io_context& io, Options options);
  ~LogRouter();

  // From now on the lines of announce() are kept in the file `path` too (made with its directories by the first line),
  // so that the report is somewhere when nobody can see the console.
  void keep_announcements(std::filesystem::path path);

  // Makes the attempt's directories and opens the files; a failure is kUser or kPlatform and names path and remedy.
  // Returns the descriptor for the worker's stream (close it after the spawn), -1 to inherit.
  Result<int> open(int attempt, int local_rank, Stream stream, const StreamPlan& plan);

  // Calls `done` when every pipe of `attempt` has reached its end and all its lines are handed to file and console
  // queues, or at `deadline` at the latest (a grandchild may keep a pipe open for ever): then what the pipes hold at
  // that moment is still carried, and they are closed. `done` is never called from within this call, nor after close().
  void drain(int attempt, TimePoint deadline, std::function<void()> done);

  // The last lines that the worker wrote, newest last, as bytes (may be invalid UTF-8). For a stream redirected only to
  // a file, read from the file; for an inherited one, empty. Kept for the newest two attempts.
  std::vector<std::string> tail(int attempt, int local_rank, Stream stream) const;

  // Writes a line of ferrun's own to stderr, in order with the teed lines. Never waits; a stopped console's queue keeps
  // room for it.
  void announce(const std::string& line);

  // Flushes files and console, at most until `deadline` (and a fraction of a second more when one of them hangs); to be
  // called once, last. What is lost by then is said on the console that still works, if any.
  void close(TimePoint deadline);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace ferrun
