// ferrun's own stdout and stderr, where teed lines and ferrun's announcements meet, and the file that keeps the latter.
//
// Both streams share one queue when they lead to the same place, so that their lines keep their order there; otherwise
// one that stands still does not hold up the other. The threads start with the first line.
// Ownership: owned by LogRouter. Thread rule: the thread that runs the event loop.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/io/logs/log_sink.h"
#include "launcher/logs/log_patience.h"
#include "launcher/logs/log_plan.h"

namespace ferrun {

class LogConsole {
 public:
  struct Options {
    int out = 1;
    int err = 2;
    size_t queue_bytes = 0;
    LogPatience patience;
    std::function<void()> drained;  // see LogWriter::Options; called from a writer's thread
  };

  explicit LogConsole(Options options) : options_(std::move(options)) {}

  LogOutlet outlet(Stream stream);

  // Writes a line of ferrun's own to stderr; its queue keeps room for it when it is full.
  void announce(const std::string& line);
  // From now on announced lines go to the file `path` too, made by the first one, with its folder if `make_folder`;
  // to another one no more.
  void keep_announcements(const std::filesystem::path& path, bool make_folder);
  // A way to announce from another thread, without the file. Valid until close().
  std::function<void(const std::string& line)> announcer();

  // Writes what is queued, as long as a stream takes some. What one stream lost is said on the other, if that one
  // works, and in the file.
  void close(const LogWriter::Patience& patience);

 private:
  LogOutlet add(int fd, const char* name, LogSink* shared);
  void say_on(int fd, const std::string& line) const;

  Options options_;
  std::vector<std::unique_ptr<LogSink>> sinks_;
  std::optional<LogOutlet> out_;
  std::optional<LogOutlet> err_;
  std::unique_ptr<LogWriter> journal_;
  LogWriter::Target journal_file_ = 0;
};

}  // namespace ferrun
