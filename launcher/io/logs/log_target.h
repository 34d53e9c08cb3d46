// One destination of output: a descriptor, and the account of what could not be written to it.
//
// A failed write (full disk, closed pipe) loses the bytes at hand and those of the next moments; then it is tried
// again. Once the descriptor takes bytes again, a line in the stream says what is missing at that place, and the stream
// goes on with the next whole line. Writes block as the descriptor does; one that its other users set to non-blocking
// is polled. Ownership: owned by LogWriter. Thread rule: the writer's thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/time.h"
#include "launcher/logs/log_loss.h"
#include "launcher/logs/log_rotation.h"

namespace ferrun {

// "/logs/0/stdout.log: 12 lines (3.4 kB) lost: No space left on device"
std::string describe_loss(const std::string& name, const LogLoss& loss, const char* reason);

class LogTarget {
 public:
  // What others want to know at once, on the writer's thread.
  struct Hooks {
    std::function<void(size_t bytes)> wrote;  // the descriptor took so many; also of what was not asked to be written
    std::function<void()> missed;             // from now on bytes are missing
  };

  // `name` is what the lines about losses call it: a path, or "stdout".
  LogTarget(std::string name, int fd, Hooks hooks = {});

  // For a target that was made without a descriptor (-1), before anything else is asked of it.
  void open(int fd);

  // From now on the file, whose path the name is, is exchanged for a new one as `rotation` says, under the same
  // descriptor. Old ones are renamed: NAME.1 is the newest. Where that fails the file grows on, and a report says so.
  void rotate(const LogRotation& rotation);

  // Writes `pieces` in order.
  void write(std::span<const std::string_view> pieces, TimePoint now);

  // Records that output for this place was lost before it came here. `reason` must be a literal.
  void add_loss(const LogLoss& loss, const char* reason);

  // Nothing more will come: says what is lost so far, if the descriptor lets it.
  void finish();

  const std::string& name() const { return name_; }
  int fd() const { return fd_; }
  const char* reason() const { return reason_; }
  // What was lost and not said in the stream.
  const LogLoss& unsaid() const { return loss_; }

  // What a person who does not look at this destination should know by now: that it began to lose lines, or how many it
  // lost. One line each, without newline.
  std::vector<std::string> take_reports() { return std::exchange(reports_, {}); }

 private:
  // Bytes written of `bytes`; fewer when the descriptor failed, whose reason is then kept.
  size_t write_some(std::string_view bytes);
  // One write(2), of what belongs into the file that is open. None of `bytes` are taken where that failed, with errno.
  ssize_t write_once(std::string_view bytes);
  bool exchange_file();
  bool say_loss();
  void count_as_lost(std::string_view bytes);

  std::string name_;
  int fd_;
  Hooks hooks_;
  size_t most_at_once_;
  LogRotation rotation_;
  size_t size_ = 0;  // of the file, while it is exchanged at some size
  LogLoss loss_;
  const char* reason_ = "";
  bool failing_ = false;
  bool mid_line_ = false;  // the last byte in the stream is no newline
  TimePoint retry_at_{};
  std::vector<std::string> reports_;
};

}  // namespace ferrun
