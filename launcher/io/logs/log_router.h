// Carries workers' output to log files and to ferrun's own streams without ever stalling supervision.
//
// A stream is a pipe, read by the event loop; its bytes go to the file as they are, and its whole lines (see
// LineSplitter) behind their prefix to the console. Never the file itself: a worker that opens /dev/stdout anew would
// empty it. Files are written by a thread of their own behind a bounded queue, the console by another.
// A destination that is only slower than the workers makes them wait, as it would if they wrote to it themselves. A
// console that stands still is caught up from the log file once it goes on; a terminal is not, since it shows the
// present. Otherwise one that stands still (stopped terminal, dead disk) is given up after its patience, and one that
// fails (closed pipe, full disk) at once: lines for that destination alone are lost and counted, and a line says how
// many, where and why: in the stream itself as soon as it takes lines again, and for files on the console as well.
// A file that nothing else shows is never given up while the job runs.
// Ownership: owned by LocalJob. Thread rule: all calls and callbacks on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/io/unique_fd.h"
#include "common/result.h"
#include "common/time.h"
#include "launcher/logs/log_patience.h"
#include "launcher/logs/log_plan.h"
#include "launcher/logs/log_rotation.h"

namespace ferrun {

class LogRouter {
 public:
  struct Options {
    int console_out = 1;
    int console_err = 2;
    size_t console_queue_bytes = 4 << 20;
    size_t file_queue_bytes = 8 << 20;
    LogPatience patience;
    size_t longest_line = 1 << 20;  // a longer one is split on the console
    size_t tail_lines = 30;         // kept per stream for the failure report
    // Of workers' log files. A console that stands still cannot be caught up from files that are exchanged.
    LogRotation rotation;
  };

  LogRouter(boost::asio::io_context& io, Options options);
  ~LogRouter();

  // From now on the lines of announce() are kept in the file `path` too (made by the first line, with its folder if
  // `make_folder`), so that the report is somewhere when nobody can see the console. Called again, in that one from
  // then on.
  void keep_announcements(const std::filesystem::path& path, bool make_folder);

  // `file` is the plan's, opened (see open_log_file). Returns the descriptor for the worker's stream, none to inherit;
  // a failure is kPlatform and names the remedy.
  Result<UniqueFd> open(int attempt, int local_rank, Stream stream, const StreamPlan& plan, UniqueFd file);

  // From now on the lines of record() are appended to `file`, which `name` calls in messages.
  void keep_records(const std::string& name, UniqueFd file);
  // Never waits; what a file that stands still does not take is lost and counted. Without a file nothing.
  void record(const std::string& line);

  // From now on teed streams of this kind that are opened for `attempt` have those of their lines that `plan` wants in
  // `file` as well, each behind its prefix; `file` is the plan's, opened.
  void filter(int attempt, Stream stream, const LineFilterPlan& plan, UniqueFd file);

  // Calls `done` when every pipe of `attempt` has reached its end and all its lines are handed to file and console
  // queues, or at `deadline` (a grandchild may keep a pipe open for ever): then what the pipes hold at that moment is
  // still carried, also to a destination that is slow, and they are closed. `done` is never called from within this
  // call, nor after close().
  void drain(int attempt, TimePoint deadline, std::function<void()> done);

  // The last lines that the worker wrote, newest last, as bytes (may be invalid UTF-8); of an inherited stream, none.
  // Kept for the newest two attempts.
  std::vector<std::string> tail(int attempt, int local_rank, Stream stream) const;
  // What tail() was at the last mark_tail(), as far as it is kept still; none without one.
  std::vector<std::string> tail_before_mark(int attempt, int local_rank, Stream stream) const;
  void mark_tail(int attempt, int local_rank, Stream stream);

  // Writes a line of ferrun's own to stderr, in order with the teed lines. Never waits; a stopped console's queue keeps
  // room for it.
  void announce(const std::string& line);

  // Flushes files and console; to be called once, last. Each is waited for as long as it takes something, and given up
  // after standing still for `patience`, or soon after `hurry`, which is asked now and then, has become true. What is
  // lost then is said on the console that still works, if any.
  void close(Duration patience, const std::function<bool()>& hurry = {});

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace ferrun
