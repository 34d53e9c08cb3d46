#include "launcher/io/node/timer_pipe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <system_error>
#include <utility>

namespace ferrun {
namespace {

namespace asio = boost::asio;

// Timers follow the time of day, which may be set: they are looked at at least so often.
constexpr double kLookAgain = 1.0;

double time_of_day() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Error pipe_error(const std::filesystem::path& path, const std::string& reason) {
  return {ErrorKind::kUser, "cannot make the timers' pipe " + path.string() + ": " + reason +
                                "; TORCHELASTIC_TIMER_FILE names another one"};
}

}  // namespace

Result<std::unique_ptr<TimerPipe>> TimerPipe::make(asio::io_context& io, const std::filesystem::path& path,
                                                   Callbacks callbacks) {
  struct stat what {};
  if (::lstat(path.c_str(), &what) == 0) {
    if (!S_ISFIFO(what.st_mode)) return pipe_error(path, "there is something that is no pipe");
    ::unlink(path.c_str());
  }
  if (::mkfifo(path.c_str(), 0600) != 0) return pipe_error(path, std::generic_category().message(errno));
  // Writable too, so that it never ends, however many writers come and go.
  const int fd = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return pipe_error(path, std::generic_category().message(errno));
  return std::unique_ptr<TimerPipe>(new TimerPipe(io, path, fd, std::move(callbacks)));
}

TimerPipe::TimerPipe(asio::io_context& io, std::filesystem::path path, int fd, Callbacks callbacks)
    : path_(std::move(path)), pipe_(io, fd), clock_(io), lines_(PIPE_BUF), callbacks_(std::move(callbacks)) {
  wait_for_requests();
}

TimerPipe::~TimerPipe() { ::unlink(path_.c_str()); }

void TimerPipe::wait_for_requests() {
  pipe_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;
    read_requests();
    wait_for_requests();
  });
}

void TimerPipe::read_requests() {
  std::array<char, 16 << 10> buffer;
  const ssize_t got = ::read(pipe_.native_handle(), buffer.data(), buffer.size());
  if (got <= 0) return;
  lines_.feed({buffer.data(), static_cast<size_t>(got)}, [this](std::string_view line) {
    if (const Status taken = timers_.take(line); !taken) callbacks_.warn(taken.error().message);
  });
  look();
}

void TimerPipe::wait_for_the_first() {
  const std::optional<double> first = timers_.next();
  if (!first) return void(clock_.cancel());
  const double seconds = std::clamp(*first - time_of_day(), 0.0, kLookAgain);
  // A tick later, so that it is over by then.
  clock_.expires_after(std::chrono::milliseconds(1) + std::chrono::duration_cast<asio::steady_timer::duration>(
                                                          std::chrono::duration<double>(seconds)));
  clock_.async_wait([this](const boost::system::error_code& error) {
    if (!error) look();
  });
}

void TimerPipe::look() {
  for (const WorkerTimers::Overrun& overrun : timers_.take_overruns(time_of_day())) callbacks_.overrun(overrun);
  wait_for_the_first();
}

}  // namespace ferrun
