#include "launcher/io/process/lease_watch.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/io/clock.h"
#include "launcher/io/process/descendants.h"
#include "launcher/io/process/last_words.h"

namespace ferrun {
namespace {

// A living agent kills its workers itself at the end of the lease, and knows better: it spares its fork template.
constexpr Duration kAgentsTurn = std::chrono::milliseconds(100);
// Between two looks while a lease is over that the agent has not given up: processes may take their time to die, and an
// agent that stood still in the middle of a start goes on with it.
constexpr Duration kAgain = std::chrono::milliseconds(20);
constexpr Duration kPatienceWithPeer = std::chrono::milliseconds(200);

int64_t nanoseconds(TimePoint time) { return time.time_since_epoch().count(); }

// A descriptor that came with the message; none when none did, or it was lost (MSG_CTRUNC) for want of a free number.
UniqueFd descriptor_of(const msghdr& header) {
  const cmsghdr* rights = CMSG_FIRSTHDR(&header);
  if (rights == nullptr || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) return {};
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(rights), sizeof descriptor);
  return UniqueFd(descriptor);
}

}  // namespace

LeaseWatch::LeaseWatch(LeasePage* page, int messages)
    : page_(page), messages_(messages), timer_(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC)) {}

int LeaseWatch::wait_for_signal(const sigset_t& signals, siginfo_t* info, pid_t agent) {
  if (signals_ < 0) signals_ = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  for (;;) {
    constexpr timespec kNow = {0, 0};
    if (const int signal = sigtimedwait(&signals, info, &kNow); signal > 0) return signal;
    enforce(agent);
    std::array<pollfd, 3> ready = {pollfd{signals_, POLLIN, 0}, pollfd{messages_, POLLIN, 0},
                                   pollfd{timer_, POLLIN, 0}};
    const bool told_by_kernel = signals_ >= 0 && timer_ >= 0;
    poll(ready.data(), ready.size(), told_by_kernel ? -1 : 100);
    if (ready[1].revents != 0) take_messages();
    if (ready[2].revents != 0) {
      uint64_t count = 0;
      [[maybe_unused]] const ssize_t taken = read(timer_, &count, sizeof count);
    }
  }
}

bool LeaseWatch::over() const {
  const int64_t end = page_->end.load();
  return end != 0 && nanoseconds(boottime_now()) >= end + kAgentsTurn.count();
}

void LeaseWatch::enforce(pid_t agent) {
  if (over()) {
    if (!kill_children_of(agent, [this] { return over(); }) && kill(agent, SIGKILL) == 0) {
      say_without_waiting("ferrun: the lease is over; without /proc its workers can only be ended with their agent\n");
    }
    arm(nanoseconds(boottime_now() + kAgain));
  } else {
    const int64_t end = page_->end.load();
    arm(end == 0 ? 0 : end + kAgentsTurn.count());
  }
}

void LeaseWatch::arm(int64_t at) {
  constexpr int64_t kSecond = 1'000'000'000;
  itimerspec spec = {};
  spec.it_value.tv_sec = at / kSecond;
  spec.it_value.tv_nsec = at % kSecond;
  timerfd_settime(timer_, TFD_TIMER_ABSTIME, &spec, nullptr);
}

void LeaseWatch::take_messages() {
  for (;;) {
    char byte = 0;
    iovec data = {&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr header = {};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t length = recvmsg(messages_, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0) return;
    if (length == 0) {  // the agent has ended: SIGCHLD tells the rest
      messages_ = -1;
      return;
    }
    const auto message = static_cast<LeaseMessage>(byte);
    if (message == LeaseMessage::kLook) continue;  // enforce() looks anyway
    if (message == LeaseMessage::kClaim) {
      claim_ = descriptor_of(header);
      continue;
    }
    connection_.reset();
    if (message == LeaseMessage::kShare) hold(descriptor_of(header));
  }
}

// Until now the end of the connection was a reset, which proves nothing. Now it comes after every process of the job,
// and may be told from a reset.
void LeaseWatch::hold(UniqueFd connection) {
  connection_ = std::move(connection);
  if (connection_) {
    constexpr linger kEndOfStream = {0, 0};
    setsockopt(connection_.get(), SOL_SOCKET, SO_LINGER, &kEndOfStream, sizeof kEndOfStream);
  } else {
    say_without_waiting(
        "ferrun: the sentinel has no descriptor left for the connection to the coordinator (see `ulimit -n`); if the "
        "agent is killed, the other nodes will wait for its lease to end\n");
  }
}

void LeaseWatch::let_go() {
  if (messages_ >= 0) take_messages();  // what the agent said last
  if (claim_) {
    [[maybe_unused]] const ssize_t written = pwrite(claim_.get(), "gone\n", 5, 0);
  }
  if (!connection_) return;
  shutdown(connection_.get(), SHUT_WR);
  const TimePoint deadline = monotonic_now() + kPatienceWithPeer;
  std::array<char, 4096> bytes{};
  for (;;) {
    const ssize_t length = recv(connection_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (length > 0) continue;
    if (length == 0 || (errno != EAGAIN && errno != EINTR)) break;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - monotonic_now());
    pollfd readable = {connection_.get(), POLLIN, 0};
    if (left.count() <= 0 || poll(&readable, 1, static_cast<int>(left.count())) <= 0) break;
  }
  connection_.reset();
}

}  // namespace ferrun
