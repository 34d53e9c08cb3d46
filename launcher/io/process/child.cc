#include "launcher/io/process/child.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <csignal>
#include <optional>
#include <utility>

namespace ferrun {

namespace asio = boost::asio;

struct Child::Watch : std::enable_shared_from_this<Watch> {
  Watch(asio::io_context& loop, pid_t child, Ended to) : io(loop), pid(child), ended(std::move(to)) {}

  void begin() {
    const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    if (fd < 0) return watch_signals();
    pidfd.emplace(io, fd);
    pidfd->async_wait(asio::posix::stream_descriptor::wait_read,
                      [weak = weak_from_this()](const boost::system::error_code& error) {
                        const auto self = weak.lock();
                        if (!self || error || self->reap()) return;
                        self->watch_signals();  // a tracer has it; its end is told when the tracer lets go
                      });
  }

  // It may have ended before the first SIGCHLD that is seen here.
  void watch_signals() {
    pidfd.reset();
    signals.emplace(io, SIGCHLD);
    await_signal();
    asio::post(io, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->reap();
    });
  }

  void await_signal() {
    signals->async_wait([weak = weak_from_this()](const boost::system::error_code& error, int) {
      const auto self = weak.lock();
      if (self && !error && !self->reap()) self->await_signal();
    });
  }

  bool reap() {
    if (!ended) return true;
    int status = 0;
    const pid_t reaped = waitpid(pid, &status, WNOHANG);
    if (reaped == 0 || (reaped < 0 && errno == EINTR)) return false;
    if (reaped < 0) status = W_EXITCODE(255, 0);  // somebody has taken its status: no success
    pidfd.reset();
    signals.reset();
    const Ended tell = std::exchange(ended, nullptr);
    tell(status);  // the last thing: it may destroy this
    return true;
  }

  asio::io_context& io;
  const pid_t pid;
  Ended ended;  // empty: reaped
  std::optional<asio::posix::stream_descriptor> pidfd;
  std::optional<asio::signal_set> signals;
};

Child::Child(asio::io_context& io, pid_t pid, Ended ended)
    : watch_(std::make_shared<Watch>(io, pid, std::move(ended))) {
  watch_->begin();
}

Child::~Child() = default;
Child::Child(Child&&) noexcept = default;
Child& Child::operator=(Child&&) noexcept = default;

pid_t Child::pid() const { return watch_->pid; }

bool Child::reap() {
  const auto kept = watch_;  // while its end is told
  return kept->reap();
}

}  // namespace ferrun
