#include "launcher/io/logs/log_pipe.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace ferrun {
namespace {

constexpr size_t kReadSize = 64 << 10;

void pass_on(const LogOutlet& outlet, LogFlow::Verdict verdict, std::string_view bytes) {
  if (verdict == LogFlow::Verdict::kLose) {
    outlet.sink->writer.lose(outlet.target, bytes);
  } else {
    outlet.sink->writer.write(outlet.target, bytes);
  }
}

}  // namespace

LogPipe::LogPipe(boost::asio::io_context& io, int fd, Destinations destinations)
    : descriptor_(io, fd), to_(std::move(destinations)), splitter_(to_.longest_line) {}

LogPipe::Progress LogPipe::read_once(TimePoint now) {
  if (ended_) return Progress::kEnded;
  judge(now);
  if (waits_for_file() != nullptr || waits_for_console() != nullptr) return Progress::kWaiting;
  std::array<char, kReadSize> buffer;
  const size_t most = std::min({buffer.size(), most_to_read(), left_.value_or(kReadSize)});
  const ssize_t got = most == 0 ? 0 : ::read(descriptor_.native_handle(), buffer.data(), most);
  if (got > 0) {
    deliver({buffer.data(), static_cast<size_t>(got)});
    if (left_) *left_ -= static_cast<size_t>(got);
    return Progress::kMore;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Progress::kEmpty;
  end();
  return Progress::kEnded;
}

void LogPipe::read_rest() {
  if (ended_) return;
  limit_to_rest();
  std::array<char, kReadSize> buffer;
  while (*left_ > 0) {
    const ssize_t got = ::read(descriptor_.native_handle(), buffer.data(), std::min(buffer.size(), *left_));
    if (got <= 0) break;
    deliver({buffer.data(), static_cast<size_t>(got)});
    *left_ -= static_cast<size_t>(got);
  }
  end();
}

// A process that still holds the other end may write for ever: carry what is there now, no more.
void LogPipe::limit_to_rest() {
  if (ended_ || left_) return;
  int left = 0;
  ::ioctl(descriptor_.native_handle(), FIONREAD, &left);
  left_ = static_cast<size_t>(std::max(left, 0));
}

bool LogPipe::waits_for_progress() const {
  const auto is_patient = [](const LogSink* sink) { return sink != nullptr && sink->flow.next_deadline(); };
  return is_patient(waits_for_file()) || is_patient(waits_for_console());
}

void LogPipe::judge(TimePoint now) {
  using Verdict = LogFlow::Verdict;
  if (to_.file) {
    file_verdict_ = to_.file->sink->judge(now);
    if (file_verdict_ == Verdict::kLose && !to_.console) file_verdict_ = Verdict::kWait;
  }
  if (!to_.console) return;
  console_verdict_ = to_.console->sink->judge(now);
  const bool stands = console_verdict_ == Verdict::kLate || console_verdict_ == Verdict::kLose;
  late_ = stands && to_.catch_up;
  if (late_) {
    console_verdict_ = Verdict::kAccept;
  } else if (console_verdict_ == Verdict::kLate) {
    console_verdict_ = Verdict::kWait;
  }
}

// Lines grow by their prefixes: reads no more than fits into the queues of those who get them if it were all newlines.
size_t LogPipe::most_to_read() const {
  const auto most_for = [this](const LogSink& sink) {
    return std::max<size_t>(sink.capacity / 2 / (to_.prefix.size() + 2), 512);
  };
  size_t most = kReadSize;
  if (to_.filter) most = std::min(most, most_for(*to_.filter->file().sink));
  if (!to_.console || late_ || console_verdict_ == LogFlow::Verdict::kLose) return most;
  return std::min(most, most_for(*to_.console->sink));
}

void LogPipe::deliver(std::string_view bytes) {
  tail_.append(bytes);
  if (to_.file) pass_on(*to_.file, file_verdict_, bytes);
  if (to_.console) show(bytes);
  delivered_ += bytes.size();
}

void LogPipe::show(std::string_view bytes) {
  if (!late_) source_.reset();
  if (late_ && !source_) {
    source_ = to_.catch_up(delivered_, splitter_);
    if (source_) leave_open_line();
  }
  if (source_) to_.console->sink->writer.write_later(to_.console->target, source_, bytes);
  std::string lines;
  std::string wanted;
  const bool shown = source_ == nullptr;
  splitter_.feed(bytes, [&](std::string_view line) {
    if (shown) append_line(lines, line);
    if (to_.filter && to_.filter->wants(line)) wanted.append(to_.prefix).append(line).append(1, '\n');
  });
  if (!lines.empty()) write_to_console(std::move(lines));
  duplicate(wanted);
}

// What was shown of it before is not shown again, unless somebody has written behind it.
void LogPipe::append_line(std::string& lines, std::string_view line) {
  const size_t shown = std::min(std::exchange(shown_part_, 0), line.size());
  const bool goes_on = shown > 0 && owns_open_line();
  if (goes_on) to_.console->sink->open_line = nullptr;
  if (shown > 0 && !goes_on && shown == line.size()) return;  // all but the newline, which stands there
  if (!goes_on) lines.append(to_.prefix);
  lines.append(line.substr(shown)).append(1, '\n');
}

void LogPipe::write_to_console(std::string lines) {
  if (to_.console->sink->open_line.exchange(nullptr) != nullptr) lines.insert(0, 1, '\n');
  pass_on(*to_.console, console_verdict_, lines);
}

bool LogPipe::has_unshown_part() const { return !ended_ && to_.console && !source_ && splitter_.held() > shown_part_; }

void LogPipe::show_part() {
  if (!has_unshown_part() || console_verdict_ != LogFlow::Verdict::kAccept) return;
  std::string text(splitter_.held_text().substr(shown_part_));
  const LogOutlet& console = *to_.console;
  if (!owns_open_line()) {
    text.insert(0, to_.prefix);
    if (console.sink->open_line.load() != nullptr) text.insert(0, 1, '\n');
  }
  shown_part_ = splitter_.held();
  console.sink->open_line = this;
  pass_on(console, console_verdict_, text);
}

// The whole line comes again, from the file.
void LogPipe::leave_open_line() {
  if (std::exchange(shown_part_, 0) > 0 && owns_open_line()) write_to_console("");
}

// The filter's file has the queue of the stream's own.
void LogPipe::duplicate(std::string_view lines) {
  if (!lines.empty()) pass_on(to_.filter->file(), file_verdict_, lines);
}

void LogPipe::end() {
  ended_ = true;
  descriptor_.close();
  part_timer_.reset();
  if (to_.file) to_.file->sink->writer.end(to_.file->target);
  if (!to_.console) return;
  splitter_.finish([&](std::string_view line) {
    const std::string text = std::string(to_.prefix).append(line).append(1, '\n');
    std::string shown;
    append_line(shown, line);
    if (source_) {
      to_.console->sink->writer.write(to_.console->target, text, /*reserve=*/to_.longest_line);
    } else if (!shown.empty()) {
      write_to_console(std::move(shown));
    }
    if (to_.filter && to_.filter->wants(line)) duplicate(text);
  });
  to_.filter.reset();
}

}  // namespace ferrun
