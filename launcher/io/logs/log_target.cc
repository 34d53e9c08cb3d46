#include "launcher/io/logs/log_target.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "common/io/error_description.h"

namespace ferrun {
namespace {

constexpr Duration kRetryAfter = std::chrono::milliseconds(200);
// Of a pipe or terminal, so that a slow reader is seen to make progress.
constexpr size_t kMostAtOnce = 16 << 10;

size_t most_at_once(int fd) {
  struct stat what {};
  const bool is_file = ::fstat(fd, &what) == 0 && S_ISREG(what.st_mode);
  return is_file ? std::numeric_limits<size_t>::max() : kMostAtOnce;
}

}  // namespace

std::string describe_loss(const std::string& name, const LogLoss& loss, const char* reason) {
  return name + ": " + loss.describe() + " lost: " + reason;
}

LogTarget::LogTarget(std::string name, int fd, Hooks hooks)
    : name_(std::move(name)), fd_(fd), hooks_(std::move(hooks)), most_at_once_(most_at_once(fd)) {}

void LogTarget::open(int fd) {
  fd_ = fd;
  most_at_once_ = most_at_once(fd);
}

void LogTarget::count_as_lost(std::string_view bytes) {
  if (bytes.empty()) return;
  loss_.add(bytes);
  if (hooks_.missed) hooks_.missed();
}

void LogTarget::write(std::span<const std::string_view> pieces, TimePoint now) {
  const bool was_failing = failing_;
  for (std::string_view bytes : pieces) {
    if (failing_ && now < retry_at_) {
      count_as_lost(bytes);
      continue;
    }
    bytes = loss_.skip_rest_of_line(bytes);
    if (bytes.empty()) continue;
    size_t written = 0;
    if (loss_.empty() || say_loss()) written = write_some(bytes);
    if (failing_) retry_at_ = now + kRetryAfter;
    count_as_lost(bytes.substr(written));
  }
  if (failing_ && !was_failing)
    reports_.push_back(name_ + ": " + reason_ + "; lines are lost until it can be written again");
}

void LogTarget::add_loss(const LogLoss& loss, const char* reason) {
  if (loss_.empty()) reason_ = reason;
  loss_.add(loss);
  if (hooks_.missed) hooks_.missed();
  // A stream of whole lines can say it at once; one that was cut inside a line says it where the next line begins.
  if (!failing_ && !loss_.ends_mid_line) say_loss();
}

void LogTarget::finish() {
  if (!loss_.empty()) say_loss();
}

size_t LogTarget::write_some(std::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = write_once(bytes.substr(done, most_at_once_));
    if (count >= 0) {
      done += static_cast<size_t>(count);
      if (done > 0) mid_line_ = bytes[done - 1] != '\n';
      if (hooks_.wrote) hooks_.wrote(static_cast<size_t>(count));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      pollfd ready{fd_, POLLOUT, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (loss_.empty()) reason_ = error_description()(errno);
    break;
  }
  failing_ = done < bytes.size();
  return done;
}

ssize_t LogTarget::write_once(std::string_view bytes) {
  size_t most = bytes_before_rotation(rotation_, bytes, size_, mid_line_);
  if (most == 0) {
    if (!exchange_file()) rotation_ = {};
    most = bytes_before_rotation(rotation_, bytes, size_, mid_line_);
  }
  const ssize_t count = ::write(fd_, bytes.data(), most);
  if (count > 0) size_ += static_cast<size_t>(count);
  return count;
}

void LogTarget::rotate(const LogRotation& rotation) {
  struct stat what {};
  if (::fstat(fd_, &what) != 0 || !S_ISREG(what.st_mode)) return;
  rotation_ = rotation;
  size_ = static_cast<size_t>(what.st_size);
}

bool LogTarget::exchange_file() {
  const auto numbered = [this](int number) { return number == 0 ? name_ : name_ + "." + std::to_string(number); };
  if (rotation_.keep == 0) {
    if (::ftruncate(fd_, 0) == 0) size_ = 0;
    return size_ == 0;
  }
  for (int number = rotation_.keep; number > 0; --number)
    ::rename(numbered(number - 1).c_str(), numbered(number).c_str());
  const int fresh = ::open(name_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
  if (fresh < 0 || ::dup3(fresh, fd_, O_CLOEXEC) < 0) {
    reports_.push_back(name_ + ": " + error_description()(errno) + "; it grows beyond --log-max-size");
    if (fresh >= 0) ::close(fresh);
    return false;
  }
  ::close(fresh);
  size_ = 0;
  return true;
}

bool LogTarget::say_loss() {
  std::string line = mid_line_ ? "\n" : "";
  line += "ferrun: " + loss_.describe() + " lost here: " + reason_ + "\n";
  // A line that did not fit is ended by the next attempt, so nothing of it is taken for the worker's.
  if (write_some(line) < line.size()) return false;
  reports_.push_back(describe_loss(name_, loss_, reason_));
  loss_ = LogLoss{};
  return true;
}

}  // namespace ferrun
