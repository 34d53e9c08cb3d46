// A router with a console that the test reads (or does not), and workers that the test plays.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "launcher/io/logs/log_router.h"
#include "tests/process/process_test_support.h"

namespace ferrun::testing {

// The reading end of a pipe, collected by a thread from start() on until the last writer has closed its end.
class Console {
 public:
  Console();
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  int writing_end() const { return writing_; }
  void start(size_t bytes_at_once = 64 << 10);  // begins to read; before, it is a stopped console
  void close_reader();                          // a reader that went away
  bool has_shown(const std::string& text) const;
  std::string finish();  // closes the writing end, waits for the reader and gives all that it read

 private:
  int reading_ = -1;
  int writing_ = -1;
  mutable std::mutex mutex_;
  std::string text_;
  std::thread reader_;
};

class LogRig {
 public:
  explicit LogRig(const std::function<void(LogRouter::Options&)>& adjust = {});

  // A teed stream with the prefix "[<rank>]:", to the file "<rank>/stdout.log" (or stderr) if `with_file`.
  int tee(int rank, Stream stream = Stream::kStdout, bool with_file = true, int attempt = 0);
  std::string file_path(int rank, Stream stream = Stream::kStdout, int attempt = 0) const;
  std::string file(int rank, Stream stream = Stream::kStdout) const { return read_file(file_path(rank, stream)); }

  // Opens the plan's file and the stream.
  int open(int rank, Stream stream, const StreamPlan& plan, int attempt = 0);

  // Runs the loop until all pipes of the attempt have ended; false when the deadline came first.
  bool drain(Duration patience = kHangLimit, int attempt = 0);
  // Runs the loop until `condition` holds; false at the hang limit.
  bool run_until(const std::function<bool()>& condition);
  // Drains and closes with wide deadlines: nothing may be lost.
  void end_well();

  TemporaryDirectory directory;
  Console out;
  Console err;
  boost::asio::io_context io;
  std::optional<LogRouter> router;
};

// Writes all of `bytes` and gives the time it took.
Duration write_all(int fd, std::string_view bytes);
std::vector<std::string> lines_of(const std::string& text);

}  // namespace ferrun::testing
