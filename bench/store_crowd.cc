#include "bench/store_crowd.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace ferrun::bench {
namespace {

// Few of the about 28,000 that there are: the kernel looks for a free one for longer, the fewer are left.
constexpr size_t kPortsOfAnAddress = 4000;
// Connections under way: fewer than a backlog holds, and than ferrun lets be silent for long.
constexpr size_t kConnecting = 500;

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

sockaddr_in loopback(uint32_t last, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + last);
  return address;
}

template <typename T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string text(const std::string& value) { return bytes_of(uint64_t{value.size()}) + value; }

}  // namespace

namespace store_words {

std::string validate() { return std::string(1, '\0') + bytes_of(uint32_t{0x3C85F7CE}); }
std::string ping() { return "\x0d" + bytes_of(uint32_t{7}); }
std::string set(const std::string& key, const std::string& value) { return "\x01" + text(key) + text(value); }
std::string get(const std::string& key) { return "\x03" + text(key); }
std::string add(const std::string& key, int64_t number) { return "\x04" + text(key) + bytes_of(number); }
std::string wait(const std::string& key) { return "\x06" + bytes_of(uint64_t{1}) + text(key); }

}  // namespace store_words

StoreCrowd::StoreCrowd() : poll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (poll_ < 0) fail("epoll_create1");
}

StoreCrowd::~StoreCrowd() {
  for (const Client& client : clients_) ::close(client.fd);
  ::close(poll_);
}

void StoreCrowd::connect(uint16_t port, size_t count) {
  clients_.reserve(count);
  size_t pending = 0;
  const auto open_next = [&] {
    if (clients_.size() == count) return;
    open_one(port);
    ++pending;
  };
  while (pending < std::min(kConnecting, count)) open_next();
  wait_for(pending, open_next);
}

void StoreCrowd::open_one(uint16_t port) {
  Client client;
  client.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (client.fd < 0) fail("socket");
  const int yes = 1;
  ::setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  // The port is chosen by connect(), which may give one of another destination again.
  ::setsockopt(client.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes));
  const sockaddr_in from = loopback(static_cast<uint32_t>(clients_.size() / kPortsOfAnAddress), 0);
  if (::bind(client.fd, reinterpret_cast<const sockaddr*>(&from), sizeof(from)) != 0) fail("bind");
  const sockaddr_in to = loopback(0, port);
  if (::connect(client.fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0 && errno != EINPROGRESS)
    fail("connect");
  client.steps = {{store_words::validate() + store_words::ping(), 4}};
  epoll_event event{};
  event.events = EPOLLOUT;  // connected
  event.data.u64 = clients_.size();
  if (::epoll_ctl(poll_, EPOLL_CTL_ADD, client.fd, &event) != 0) fail("epoll_ctl");
  clients_.push_back(std::move(client));
}

void StoreCrowd::play(const Steps& steps) {
  size_t pending = clients_.size();
  for (size_t i = 0; i < clients_.size(); ++i) {
    clients_[i].steps = steps(i);
    clients_[i].step = 0;
  }
  for (Client& client : clients_) say(client);
  wait_for(pending, [] {});
}

void StoreCrowd::say(Client& client) {
  const Step& step = client.steps[client.step];
  client.left = step.answer;
  if (::send(client.fd, step.message.data(), step.message.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(step.message.size())) {
    fail("a client could not send");
  }
}

bool StoreCrowd::hear(Client& client) {
  std::array<char, 256> buffer;
  const ssize_t size = ::recv(client.fd, buffer.data(), std::min(client.left, buffer.size()), 0);
  if (size < 0 && errno == EAGAIN) return false;
  if (size <= 0) fail("a client lost its connection");
  client.left -= static_cast<size_t>(size);
  if (client.left > 0) return false;
  if (++client.step == client.steps.size()) return true;
  say(client);
  return false;
}

void StoreCrowd::wait_for(size_t& pending, const std::function<void()>& on_done) {
  std::array<epoll_event, 256> events;
  while (pending > 0) {
    const int count = ::epoll_wait(poll_, events.data(), events.size(), 60'000);
    if (count == 0) throw std::runtime_error(std::to_string(pending) + " clients were not answered for a minute");
    for (int i = 0; i < count; ++i) {
      Client& client = clients_[events[i].data.u64];
      if ((events[i].events & EPOLLOUT) != 0) {
        epoll_event event = events[i];
        event.events = EPOLLIN;
        ::epoll_ctl(poll_, EPOLL_CTL_MOD, client.fd, &event);
        say(client);
      } else if (hear(client)) {
        --pending;
        on_done();
      }
    }
  }
}

}  // namespace ferrun::bench
