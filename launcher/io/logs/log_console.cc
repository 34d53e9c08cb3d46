#include "launcher/io/logs/log_console.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io/clock.h"
#include "launcher/io/logs/log_files.h"
#include "launcher/io/logs/log_target.h"

namespace ferrun {
namespace {

constexpr size_t kAnnounceReserve = 512 << 10;  // room for ferrun's own lines above the queue's bound
constexpr size_t kJournalBytes = 4 << 20;
constexpr Duration kToSayOneLine = std::chrono::milliseconds(200);

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
    const LogDestination to = ::isatty(fd) == 1 ? LogDestination::kTerminal : LogDestination::kReader;
    const LogFlow::Limits limits = flow_limits(to, options_.queue_bytes, options_.patience);
    sinks_.push_back(std::make_unique<LogSink>(std::move(writer), limits));
    shared = sinks_.back().get();
  }
  return {shared, add_duplicate(shared->writer, name, fd)};
}

void LogConsole::announce(const std::string& line) {
  announcer()(line);
  if (journal_) journal_->write(journal_file_, line + "\n");
}

std::function<void(const std::string&)> LogConsole::announcer() {
  const LogOutlet err = outlet(Stream::kStderr);
  return [err](const std::string& line) {
    const bool ends_another = err.sink->open_line.exchange(nullptr) != nullptr;
    err.sink->writer.write(err.target, (ends_another ? "\n" : "") + line + "\n", kAnnounceReserve);
  };
}

// A journal that cannot be opened is none: the log directory's fault is reported when the attempt's folders are made.
void LogConsole::keep_announcements(const std::filesystem::path& path, bool make_folder) {
  if (journal_) {
    journal_->end(journal_file_);
  } else {
    journal_ = std::make_unique<LogWriter>(LogWriter::Options{kJournalBytes, kJournalStands, nullptr, nullptr});
  }
  journal_file_ = journal_->add_unopened(path.string(), [path, make_folder] {
    Result<UniqueFd> file = make_folder ? open_log_file(path, 0700) : open_log_file_in_place(path);
    return file ? file->release() : -1;
  });
}

void LogConsole::close(const LogWriter::Patience& patience) {
  std::vector<std::vector<LogWriter::Unwritten>> losses;
  for (const auto& sink : sinks_) losses.push_back(sink->writer.finish(patience));
  for (size_t i = 0; i < losses.size(); ++i) {
    const bool other_works = losses.size() == 2 && losses[1 - i].empty();
    for (const LogWriter::Unwritten& lost : losses[i]) {
      const std::string line = "ferrun: " + describe_loss(lost.name, lost.loss, lost.reason);
      if (other_works) say_on(i == 0 ? options_.err : options_.out, line);
      if (journal_) journal_->write(journal_file_, line + "\n");
    }
  }
  if (journal_) journal_->finish(patience);
}

void LogConsole::say_on(int fd, const std::string& line) const {
  LogWriter writer(LogWriter::Options{4 << 10, kConsoleStands, nullptr, nullptr});
  writer.write(add_duplicate(writer, "", fd), line + "\n");
  writer.finish({monotonic_now(), kToSayOneLine, nullptr});
}

}  // namespace ferrun
