// Writes output to its destinations on a thread of its own, so that a stopped terminal or a slow disk delays nobody
// else.
//
// The thread starts with the first output; where the machine has no room for one, whoever writes waits for the write.
// All signals are blocked in it: a terminal's SIGTTOU or a pipe's SIGPIPE become errors of the write. When the thread
// hangs in a write at the end, it is left behind with what it needs. Ownership: owned by LogRouter. Thread rule: every
// method may be called from any thread; the callbacks come from the writer's thread and are over, for good, when
// finish() has returned.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/time.h"
#include "launcher/io/logs/log_catch_up.h"
#include "launcher/logs/log_loss.h"
#include "launcher/logs/log_queue.h"
#include "launcher/logs/log_rotation.h"

namespace ferrun {

class LogWriter {
 public:
  using Target = LogQueue::Target;

  struct Options {
    size_t queue_bytes = 0;
    // Why lines are lost when the queue is full; a literal.
    const char* full_reason = "";
    // A destination has begun to fail, or has lost lines that could not be mentioned in its own stream.
    std::function<void(const std::string& line)> report;
    // The queue has drained to what notify_below() asked for.
    std::function<void()> drained;
  };

  // What could not be written and could not be said in the stream itself.
  struct Unwritten {
    std::string name;
    LogLoss loss;
    const char* reason;
  };

  // How long what is queued is waited for at the end.
  struct Patience {
    TimePoint since{};            // a standstill before that is not held against a destination
    Duration standstill{};        // of which a destination is given up
    std::function<bool()> hurry;  // asked now and then; once true, only a fraction of a second is left
  };

  explicit LogWriter(Options options);
  // Waits for nothing.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // A destination for the writes that follow. `fd` is closed at the end of the destination if `owned`, else borrowed.
  // `progress` is told what a log file holds.
  Target add(std::string name, int fd, bool owned, std::shared_ptr<LogFileProgress> progress = nullptr);
  // An owned file of this path that is exchanged at some size.
  Target add_rotated(const std::string& path, int fd, const LogRotation& rotation);
  // One that `open` opens, on the writer's thread, when the first bytes are written; what is written to one that cannot
  // be opened (-1) is dropped without a word.
  Target add_unopened(std::string name, std::function<int()> open);

  // Queues `bytes`; when the queue has no room, even with `reserve` added to its size, they are counted as lost.
  void write(Target target, std::string_view bytes, size_t reserve = 0);
  // Queues output that `source` will give in place of `bytes`.
  void write_later(Target target, const std::shared_ptr<LogSource>& source, std::string_view bytes);
  // Counts `bytes` as lost without trying.
  void lose(Target target, std::string_view bytes);
  // Nothing more will be written to `target`.
  void end(Target target);

  size_t queued() const;
  // When a destination last took bytes.
  TimePoint moved_at() const;
  // Calls Options::drained once, when at most `size` bytes are queued.
  void notify_below(size_t size);

  // Writes what is queued, as long as the destinations take some, and stops; they are gone then. Returns what could not
  // be written, by destination.
  std::vector<Unwritten> finish(const Patience& patience);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ferrun
