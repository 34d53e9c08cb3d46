// A console that is behind catches up from the log file: nothing of a teed stream has to wait in memory for a reader
// that comes late.
//
// LogFileProgress is between two threads: the one that writes the log file says how far it is, the one that writes the
// console reads no further. LogCatchUp reads the file, cuts it into lines and puts the prefix before each.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/io/unique_fd.h"
#include "common/line_splitter.h"
#include "launcher/logs/log_source.h"

namespace ferrun {

// How much of a stream its log file holds, without a gap. Thread rule: any thread.
class LogFileProgress {
 public:
  // So many more bytes are in the file.
  void advance(size_t bytes);
  // Bytes are missing, or nobody writes them any more: nothing more can be fetched.
  void fail();
  // Waits until the file holds more than `offset` bytes, and says how many. None when it never will.
  std::optional<uint64_t> wait_beyond(uint64_t offset);

 private:
  std::mutex mutex_;
  std::condition_variable moved_;
  uint64_t written_ = 0;
  bool failed_ = false;
};

// Ownership: shared by the queue of the console and the stream. Thread rule: next() on the console's thread.
class LogCatchUp : public LogSource {
 public:
  struct Place {
    off_t file_begin = 0;  // where the stream begins in the file
    uint64_t offset = 0;   // where, in the stream, fetching begins
  };

  // `splitter` is in the state that it has at that place.
  LogCatchUp(UniqueFd file, Place place, std::shared_ptr<LogFileProgress> progress, LineSplitter splitter,
             std::string prefix);

  std::optional<Piece> next(size_t most) override;

 private:
  const UniqueFd file_;
  Place place_;
  const std::shared_ptr<LogFileProgress> progress_;
  LineSplitter splitter_;
  const std::string prefix_;
};

}  // namespace ferrun
