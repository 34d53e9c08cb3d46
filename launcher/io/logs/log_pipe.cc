#include "launcher/io/logs/log_pipe.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

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
  const ssize_t got = ::read(descriptor_.native_handle(), buffer.data(), std::min(buffer.size(), most_to_read()));
  if (got > 0) {
    deliver({buffer.data(), static_cast<size_t>(got)});
    return Progress::kMore;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Progress::kEmpty;
  end();
  return Progress::kEnded;
}

void LogPipe::read_rest() {
  if (ended_) return;
  // A process that still holds the other end may write for ever: carry what is there now, no more.
  int left = 0;
  ::ioctl(descriptor_.native_handle(), FIONREAD, &left);
  std::array<char, kReadSize> buffer;
  while (left > 0) {
    const size_t most = std::min(buffer.size(), static_cast<size_t>(left));
    const ssize_t got = ::read(descriptor_.native_handle(), buffer.data(), most);
    if (got <= 0) break;
    deliver({buffer.data(), static_cast<size_t>(got)});
    left -= static_cast<int>(got);
  }
  end();
}

void LogPipe::judge(TimePoint now) {
  if (to_.file) file_verdict_ = to_.file->sink->judge(now);
  if (to_.console) console_verdict_ = to_.console->sink->judge(now);
}

// Lines grow by their prefixes: reads no more than fits into the console's queue if it were all newlines.
size_t LogPipe::most_to_read() const {
  if (!to_.console || console_verdict_ == LogFlow::Verdict::kLose) return kReadSize;
  const size_t room = to_.console->sink->capacity / 2;
  return std::max<size_t>(room / (to_.prefix.size() + 2), 512);
}

void LogPipe::deliver(std::string_view bytes) {
  tail_.append(bytes);
  if (to_.file) pass_on(*to_.file, file_verdict_, bytes);
  if (!to_.console) return;
  std::string lines;
  splitter_.feed(bytes, [&](std::string_view line) { lines.append(to_.prefix).append(line).append(1, '\n'); });
  if (!lines.empty()) pass_on(*to_.console, console_verdict_, lines);
}

void LogPipe::end() {
  ended_ = true;
  descriptor_.close();
  if (to_.file) to_.file->sink->writer.end(to_.file->target);
  if (!to_.console) return;
  splitter_.finish([&](std::string_view line) {
    pass_on(*to_.console, console_verdict_, std::string(to_.prefix).append(line).append(1, '\n'));
  });
}

}  // namespace ferrun
