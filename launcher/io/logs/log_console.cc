#include "launcher/io/logs/log_console.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "common/io/clock.h"
#include "launcher/io/logs/log_files.h"
#include "launcher/io/logs/log_target.h"

namespace ferrun {
namespace {

constexpr size_t kAnnounceReserve = 512 << 10;  // room for ferrun's own lines above the queue's bound
constexpr size_t kJournalBytes = 4 << 20;
constexpr Duration kLastChance = std::chrono::milliseconds(200);

constexpr const char* kConsoleStands = "the reader of the console is stopped or too slow";
constexpr const char* kJournalStands = "the disk is stopped or too slow";

bool same_place(int a, int b) {
  struct stat first = {};
  struct stat second = {};
  if (::fstat(a, &first) != 0 || ::fstat(b, &second) != 0) return false;
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

// A thread that hangs in a write is left behind: with a duplicate it can never write to another's descriptor of that
// number.
LogWriter::Target add_duplicate(LogWriter& writer, const char* name, int fd) {
  const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  return writer.add(name, own >= 0 ? own : fd, /*owned=*/own >= 0);
}

// Whoever hung before used up the deadline: the next one must still get its share, or a dead disk would take the
// failure report off the screen.
TimePoint with_last_chance(TimePoint deadline) { return std::max(deadline, monotonic_now() + kLastChance); }

}  // namespace

LogOutlet LogConsole::outlet(Stream stream) {
  if (!out_) {
    out_ = add(options_.out, "stdout", nullptr);
    err_ = add(options_.err, "stderr", same_place(options_.out, options_.err) ? out_->sink : nullptr);
  }
  return stream == Stream::kStdout ? *out_ : *err_;
}

LogOutlet LogConsole::add(int fd, const char* name, LogSink* shared) {
  if (shared == nullptr) {
    LogWriter::Options writer{options_.queue_bytes, kConsoleStands, /*report=*/nullptr, options_.drained};
    sinks_.push_back(std::make_unique<LogSink>(std::move(writer), options_.patience));
    shared = sinks_.back().get();
  }
  return {shared, add_duplicate(shared->writer, name, fd)};
}

void LogConsole::announce(const std::string& line) {
  announcer()(line);
  open_journal();
  if (journal_) journal_->write(0, line + "\n");
}

std::function<void(const std::string&)> LogConsole::announcer() {
  const LogOutlet err = outlet(Stream::kStderr);
  return [err](const std::string& line) { err.sink->writer.write(err.target, line + "\n", kAnnounceReserve); };
}

// A journal that cannot be opened is none: the log directory's fault is reported when the attempt's folders are made.
void LogConsole::open_journal() {
  if (journal_ || journal_path_.empty()) return;
  if (Result<int> file = open_log_file(journal_path_, 0700)) {
    journal_ = std::make_unique<LogWriter>(LogWriter::Options{kJournalBytes, kJournalStands, nullptr, nullptr});
    journal_->add(journal_path_.string(), *file, /*owned=*/true);
  }
  journal_path_.clear();
}

void LogConsole::close(TimePoint deadline) {
  std::vector<std::vector<LogWriter::Unwritten>> losses;
  for (const auto& sink : sinks_) losses.push_back(sink->writer.finish(with_last_chance(deadline)));
  for (size_t i = 0; i < losses.size(); ++i) {
    const bool other_works = losses.size() == 2 && losses[1 - i].empty();
    for (const LogWriter::Unwritten& lost : losses[i]) {
      const std::string line = "ferrun: " + describe_loss(lost.name, lost.loss, lost.reason);
      if (other_works) say_on(i == 0 ? options_.err : options_.out, line);
      if (journal_) journal_->write(0, line + "\n");
    }
  }
  if (journal_) journal_->finish(with_last_chance(deadline));
}

void LogConsole::say_on(int fd, const std::string& line) const {
  LogWriter writer(LogWriter::Options{4 << 10, kConsoleStands, nullptr, nullptr});
  writer.write(add_duplicate(writer, "", fd), line + "\n");
  writer.finish(with_last_chance(TimePoint{}));
}

}  // namespace ferrun
