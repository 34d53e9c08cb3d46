#include "launcher/io/process/exec_wait.h"

#include <chrono>
#include <utility>

namespace ferrun {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;

namespace {

constexpr std::chrono::seconds kExecPatience{1};

}  // namespace

ExecWait::ExecWait(asio::io_context& io, std::string program, std::vector<int> cpus, const SpawnedProcess& process)
    : io_(io),
      program_(std::move(program)),
      cpus_(std::move(cpus)),
      pid_(process.pid),
      pipe_(io, process.exec_outcome),
      patience_(io) {}

void ExecWait::begin(Told told) {
  told_ = std::move(told);
  pipe_.async_wait(stream_descriptor::wait_read, [weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (self && !error) self->read_outcome();
  });
  patience_.expires_after(kExecPatience);
  patience_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (!self || error || !self->pipe_.is_open()) return;
    self->counts_as_running_ = true;
    self->told_({.running = true});
  });
}

void ExecWait::read_outcome() {
  const std::optional<ExecFailure> failure = read_exec_outcome(pipe_.native_handle());
  pipe_.close();
  patience_.cancel();
  if (!failure) return told_({.running = !counts_as_running_, .over = true});
  const Error error = explain_start_failure(program_, cpus_, *failure);
  if (counts_as_running_) return told_({.over = true, .error = error, .late = true});
  failed_.emplace(io_, pid_, [weak = weak_from_this(), error](int) {
    if (const auto self = weak.lock()) self->told_({.over = true, .error = error});
  });
}

}  // namespace ferrun
