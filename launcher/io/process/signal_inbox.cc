#include "launcher/io/process/signal_inbox.h"

#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <csignal>
#include <optional>
#include <utility>

#include "launcher/io/process/signal_message.h"

namespace ferrun {

namespace asio = boost::asio;
using boost::system::error_code;

struct SignalInbox::Impl {
  Impl(asio::io_context& io, int link, std::vector<int> given, Callbacks to)
      : signals(std::move(given)), callbacks(std::move(to)), messages(io, link), direct(io) {
    std::ranges::copy_if(signals, std::back_inserter(ignored), ignored_now);
    sigset_t own;
    sigemptyset(&own);
    for (const int signal : signals) sigaddset(&own, signal);
    const int fd = signalfd(-1, &own, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd >= 0) {
      sigprocmask(SIG_SETMASK, &own, nullptr);
      direct.assign(fd);
      await_direct();
    } else {
      await_by_handlers(io);
    }
    await_messages();
  }

  // --- from the sentinel ---

  void await_messages() {
    messages.async_wait(asio::posix::stream_descriptor::wait_read, [this](const error_code& error) {
      if (error) return;
      if (take_messages()) return await_messages();
      callbacks.sentinel_died();
    });
  }

  // False at the end of the stream: the sentinel alone held the other end.
  bool take_messages() {
    for (;;) {
      SignalMessage message;
      const ssize_t length = recv(messages.native_handle(), &message, sizeof message, MSG_DONTWAIT);
      if (length < 0 && (errno == EAGAIN || errno == EINTR)) return true;
      if (length <= 0) return false;
      if (length == sizeof message) take(message);
    }
  }

  // A signal that the agent does not handle does to it what it would have done had it come here.
  void take(const SignalMessage& message) {
    if (std::ranges::find(signals, message.signal) == signals.end()) {
      kill(getpid(), message.signal);
    } else {
      callbacks.arrived({message.signal, false, message.code > 0, message.sender});
    }
  }

  // --- to this very process ---

  void await_direct() {
    direct.async_wait(asio::posix::stream_descriptor::wait_read, [this](const error_code& error) {
      if (error) return;
      signalfd_siginfo info = {};
      while (read(direct.native_handle(), &info, sizeof info) == sizeof info) {
        take_direct(static_cast<int>(info.ssi_signo), info.ssi_code, static_cast<pid_t>(info.ssi_pid));
      }
      await_direct();
    });
  }

  void take_direct(int signal, int code, pid_t sender) {
    const bool was_ignored = std::ranges::find(ignored, signal) != ignored.end();
    if (is_meant(signal, code, was_ignored)) callbacks.arrived({signal, true, code > 0, sender});
  }

  // Where the kernel grants no signalfd. Who sent a signal is not known then.
  void await_by_handlers(asio::io_context& io) {
    handlers.emplace(io);
    for (const int signal : signals) {
      error_code refused;  // SIGKILL and its like are refused as options
      if (is_meant(signal, 0, ignored_now(signal))) handlers->add(signal, refused);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    await_handler();
  }

  void await_handler() {
    handlers->async_wait([this](const error_code& error, int signal) {
      if (error) return;
      take_direct(signal, 0, 0);
      await_handler();
    });
  }

  std::vector<int> signals;
  std::vector<int> ignored;  // of them
  Callbacks callbacks;
  asio::posix::stream_descriptor messages;
  asio::posix::stream_descriptor direct;
  std::optional<asio::signal_set> handlers;
};

SignalInbox::SignalInbox(asio::io_context& io, const SentinelLink& link, std::vector<int> signals, Callbacks callbacks)
    : impl_(std::make_unique<Impl>(io, link.messages, std::move(signals), std::move(callbacks))) {}

SignalInbox::~SignalInbox() = default;

}  // namespace ferrun
