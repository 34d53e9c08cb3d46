// A blocking TCP client that writes and reads the store protocol's bytes. What it waits for comes within kPatience or
// fails the test.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "tests/rendezvous/store/store_messages.h"

namespace ferrun {

class RawClient {
 public:
  static constexpr int kPatienceSeconds = 60;

  RawClient() = default;
  RawClient(RawClient&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RawClient& operator=(RawClient&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~RawClient() { disconnect(); }

  // A connection to 127.0.0.1; nothing is sent yet. Not connected when the server refuses.
  static RawClient open(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return open(AF_INET, &address, sizeof(address));
  }

  static RawClient open_v6(uint16_t port) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_addr = in6addr_loopback;
    return open(AF_INET6, &address, sizeof(address));
  }

  // A connection that has sent the handshake.
  static RawClient greeted(uint16_t port) {
    RawClient client = open(port);
    client.send(store_messages::validate());
    return client;
  }

  bool connected() const { return fd_ >= 0; }

  // False when the peer has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  // Exactly `size` bytes, or what came before the connection ended.
  std::string receive(size_t size) {
    std::string bytes(size, '\0');
    size_t got = 0;
    while (got < size) {
      const ssize_t now = ::recv(fd_, bytes.data() + got, size - got, 0);
      if (now <= 0) {
        EXPECT_FALSE(now < 0 && errno == EAGAIN) << "no answer after " << got << " of " << size << " bytes";
        break;
      }
      got += static_cast<size_t>(now);
    }
    bytes.resize(got);
    return bytes;
  }

  std::string ask(const std::string& message, size_t reply_size) {
    return send(message) ? receive(reply_size) : "not sent";
  }

  // Waits until the server ends the connection; false when it sends something instead.
  bool is_closed() {
    char byte;
    const ssize_t size = ::recv(fd_, &byte, 1, 0);
    EXPECT_FALSE(size < 0 && errno == EAGAIN) << "the server kept the connection";
    return size <= 0;
  }

  // As recv(2) does; waits for the first byte.
  ssize_t receive_now(char* bytes, size_t size) { return ::recv(fd_, bytes, size, 0); }

  void disconnect() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  // Ends the connection without an end of the stream.
  void reset() {
    const linger at_once{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    disconnect();
  }

 private:
  template <typename Address>
  static RawClient open(int family, const Address* address, socklen_t size) {
    RawClient client;
    client.fd_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client.fd_ < 0) return client;
    const timeval patience{kPatienceSeconds, 0};
    const int on = 1;
    ::setsockopt(client.fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ::setsockopt(client.fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    ::setsockopt(client.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (::connect(client.fd_, reinterpret_cast<const sockaddr*>(address), size) != 0) client.disconnect();
    return client;
  }

  int fd_ = -1;
};

}  // namespace ferrun
