#include "rendezvous/io/store/store_poll.h"

#include <sched.h>
#include <unistd.h>

#include "common/io/clock.h"

namespace ferrun {
namespace {

// The loop has other things to do, and may have to do them at once.
constexpr Duration kLongestTurn = std::chrono::microseconds(500);
// Some dozen requests of one who does not wait for answers; little for one who does.
constexpr std::chrono::microseconds kPause{50};

int usable_processors() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

StorePoll::~StorePoll() = default;

bool StorePoll::open(const boost::asio::any_io_executor& executor) {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return false;
  set_.emplace(executor);
  pause_.emplace(executor);
  boost::system::error_code failed;
  set_->assign(fd, failed);
  if (failed) {
    ::close(fd);
    set_.reset();
    return false;
  }
  spin_ = SpinPolicy(usable_processors());
  await();
  return true;
}

bool StorePoll::add(const boost::asio::any_io_executor& executor, int fd, StoreConnectionId id, uint32_t events) {
  if (!set_ && !open(executor)) return false;
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  if (::epoll_ctl(set_->native_handle(), EPOLL_CTL_ADD, fd, &event) != 0) return false;
  ++connections_;
  return true;
}

void StorePoll::change(int fd, StoreConnectionId id, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  ::epoll_ctl(set_->native_handle(), EPOLL_CTL_MOD, fd, &event);
}

void StorePoll::remove(int fd) {
  if (::epoll_ctl(set_->native_handle(), EPOLL_CTL_DEL, fd, nullptr) == 0) --connections_;
}

void StorePoll::await() {
  set_->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                   [this, poll = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
                     if (!error && !poll.expired()) turn();
                   });
}

void StorePoll::pause() {
  pause_->expires_after(kPause);
  pause_->async_wait([this, poll = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (!error && !poll.expired()) turn();
  });
}

void StorePoll::turn() {
  resting_ = false;
  serve_ready();
  if (!resting_ && spin_.worth_it(connections_)) spin();
  resting_ ? pause() : await();
}

int StorePoll::serve_ready() {
  const int count = ::epoll_wait(set_->native_handle(), events_.data(), kBatch, 0);
  for (int i = 0; i < count; ++i) owner_.ready(events_[i].data.u64, events_[i].events);
  return count;
}

void StorePoll::spin() {
  const TimePoint begin = monotonic_now();
  TimePoint asked = begin;
  TimePoint now = begin;
  bool came = false;
  while (!resting_ && now - asked < SpinPolicy::kPatience) {
    if (now - begin > kLongestTurn) return;
    if (serve_ready() > 0) {
      asked = now;
      came = true;
    } else {
      relax();
    }
    now = monotonic_now();
  }
  came ? spin_.paid() : spin_.wasted();
}

}  // namespace ferrun
