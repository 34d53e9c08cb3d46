// store_floor: what a store costs in the kernel alone. One thread accepts and answers store_scale_bench's requests with
// as many bytes as a store would, knowing nothing: no key is looked up, no request is checked. No store of one thread
// that works with epoll can be faster.
//
// Prints "port N"; ends with its standard input. A client that waits for the last one's key is answered at once.
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

// The first byte of a request, and the size of what answers it.
size_t answer_size(char operation) {
  switch (operation) {
    case 0: return 4;   // VALIDATE and PING
    case 1: return 4;   // SET and PING
    case 3: return 72;  // GET of 64 bytes
    case 4: return 8;   // ADD
    default: return 1;  // WAIT
  }
}

void watch(int poll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

void answer(int fd) {
  static std::array<char, 64 * 1024> buffer;
  static const std::array<char, 128> zeros{};
  const ssize_t size = ::recv(fd, buffer.data(), buffer.size(), 0);
  if (size <= 0) {
    ::close(fd);
  } else {
    ::send(fd, zeros.data(), answer_size(buffer[0]), MSG_NOSIGNAL);
  }
}

void accept_all(int listener, int poll) {
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    watch(poll, fd);
  }
}

}  // namespace

int main() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t size = sizeof(address);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), size) != 0 || ::listen(listener, 4096) != 0)
    return 1;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("port %u\n", static_cast<unsigned>(ntohs(address.sin_port)));
  std::fflush(stdout);
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  watch(poll, listener);
  watch(poll, STDIN_FILENO);
  std::array<epoll_event, 256> events;
  for (;;) {
    const int count = ::epoll_wait(poll, events.data(), events.size(), -1);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == STDIN_FILENO) return 0;
      events[i].data.fd == listener ? accept_all(listener, poll) : answer(events[i].data.fd);
    }
  }
}
