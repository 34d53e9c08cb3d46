#include "rendezvous/io/net/boot_timer.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <system_error>
#include <utility>

#include "common/io/clock.h"

namespace ferrun {

using boost::asio::posix::stream_descriptor;

namespace {

int make_timer() {
  const int fd = ::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::system_category(), "timerfd_create");
  return fd;
}

}  // namespace

struct BootTimer::State : std::enable_shared_from_this<State> {
  State(boost::asio::io_context& io, std::function<void()> given)
      : timer(io, make_timer()), on_time(std::move(given)) {}

  void await() {
    timer.async_wait(stream_descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
      if (!error && self->on_time) self->fired();
    });
  }

  void arm(TimePoint when) {
    armed = when;
    // A time of zero would disarm it.
    const Duration at = std::max(when.time_since_epoch(), Duration(1));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(at);
    itimerspec spec{};
    spec.it_value.tv_sec = seconds.count();
    spec.it_value.tv_nsec = (at - seconds).count();
    ::timerfd_settime(timer.native_handle(), TFD_TIMER_ABSTIME, &spec, nullptr);
  }

  void fired() {
    uint64_t count = 0;
    // Nothing to read: it was set anew after it had fired.
    if (::read(timer.native_handle(), &count, sizeof(count)) == sizeof(count)) armed.reset();
    if (wanted && *wanted <= boottime_now()) {
      wanted.reset();
      on_time();
    } else if (wanted && !armed) {
      arm(*wanted);
    }
    if (on_time) await();
  }

  stream_descriptor timer;
  std::function<void()> on_time;  // none once the owner is gone
  std::optional<TimePoint> wanted;
  std::optional<TimePoint> armed;  // never later than `wanted`: deadlines mostly move away, and that costs nothing
};

BootTimer::BootTimer(boost::asio::io_context& io, std::function<void()> on_time)
    : state_(std::make_shared<State>(io, std::move(on_time))) {
  state_->await();
}

BootTimer::~BootTimer() {
  state_->on_time = nullptr;
  boost::system::error_code ignored;
  state_->timer.close(ignored);
}

void BootTimer::set(std::optional<TimePoint> when) {
  state_->wanted = when;
  if (when && (!state_->armed || *when < *state_->armed)) state_->arm(*when);
}

}  // namespace ferrun
