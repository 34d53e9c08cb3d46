#include "rendezvous/io/net/session_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "rendezvous/io/net/listener.h"

namespace ferrun {

using boost::asio::ip::tcp;
using boost::system::error_code;

namespace {

// Longer than a lease: who has to act sooner does so by what it hears, not by what the kernel says.
constexpr std::chrono::milliseconds kUserTimeout{20000};
constexpr int kKeepAliveIdleSeconds = 10;
constexpr int kKeepAliveIntervalSeconds = 5;
constexpr size_t kReadBytes = 64 << 10;
// Kept for the next message; more is given back: there may be 10,000 of these.
constexpr size_t kKeptOutbox = 256;

bool try_again(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

std::string reason(int error) {
  switch (error) {
    case 0: return "it closed the connection";
    case ECONNRESET: return "the connection was reset";
    case ETIMEDOUT: return "it no longer answers the network";
    default: return std::string("the connection failed: ") + std::strerror(error);
  }
}

}  // namespace

SessionConnection::SessionConnection(tcp::socket socket, Owner& owner) : socket_(std::move(socket)), owner_(&owner) {}

void SessionConnection::start() { await_bytes(); }

// Into a buffer of its own rather than by a wait for readability: Asio arms that anew in the kernel for every message.
void SessionConnection::await_bytes() {
  socket_.async_receive(boost::asio::buffer(first_bytes_),
                        [self = shared_from_this()](const error_code& error, size_t size) {
                          if (self->open()) self->arrived(error, size);
                        });
}

void SessionConnection::arrived(const error_code& error, size_t size) {
  if (error == boost::asio::error::eof) return ended(send_error_);
  if (error) return ended(error.value());
  if (!finishing_) owner_->received(*this, std::string_view(first_bytes_.data(), size));
  if (open() && size == first_bytes_.size()) read_rest();
  if (open()) await_bytes();
}

// Of a long message most at once. Once a turn, so that a flood of one peer keeps no other waiting.
void SessionConnection::read_rest() {
  char buffer[kReadBytes];
  const ssize_t size = ::recv(socket_.native_handle(), buffer, sizeof(buffer), MSG_DONTWAIT);
  if (size == 0) return ended(send_error_);
  if (size < 0 && !try_again(errno)) return ended(errno);
  if (size > 0 && !finishing_) owner_->received(*this, std::string_view(buffer, static_cast<size_t>(size)));
}

void SessionConnection::ended(int error) {
  owner_->lost(*this, error == 0 ? LossKind::kEndOfStream : LossKind::kReset, reason(error));
}

void SessionConnection::flush() {
  if (!open() || awaits_room_ || sent_ == outbox_.size()) return;
  try_send();
}

// A failed connection is only marked: the next read finds its end and tells the owner, from the loop. The kernel tells
// each error once, so a reset that was told here would look like an end of the stream there. EPIPE is no reset: it
// comes when the peer had ended its side before.
void SessionConnection::try_send() {
  while (sent_ < outbox_.size()) {
    const std::string_view rest = std::string_view(outbox_).substr(sent_);
    const ssize_t sent = ::send(socket_.native_handle(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && try_again(errno)) return await_room();
    if (sent < 0) {
      if (send_error_ == 0 && errno != EPIPE) send_error_ = errno;
      break;
    }
    sent_ += static_cast<size_t>(sent);
  }
  outbox_.clear();
  sent_ = largest_ = 0;
  if (outbox_.capacity() > kKeptOutbox) outbox_ = {};
  if (finishing_) ::shutdown(socket_.native_handle(), SHUT_WR);
}

void SessionConnection::await_room() {
  // What has left goes before it is more than what stays.
  if (sent_ > outbox_.size() / 2) {
    outbox_.erase(0, sent_);
    sent_ = 0;
  }
  awaits_room_ = true;
  socket_.async_wait(tcp::socket::wait_write, [self = shared_from_this()](const error_code&) {
    self->awaits_room_ = false;
    if (self->open()) self->try_send();
  });
}

void SessionConnection::finish() {
  if (!open() || finishing_) return;
  finishing_ = true;
  if (!awaits_room_) try_send();
}

void SessionConnection::close() {
  owner_ = nullptr;
  error_code ignored;
  socket_.close(ignored);
}

// Closing would do nothing while another process holds a duplicate, and send the end of the stream when that one is
// closed. To dissolve the association sends the reset now, whoever holds the socket.
void SessionConnection::reset() {
  owner_ = nullptr;
  if (!socket_.is_open()) return;
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  ::connect(socket_.native_handle(), &nobody, sizeof(nobody));
  reset_connection(socket_);
}

void watch_for_vanished_peer(int fd) {
  const auto set = [fd](int level, int option, int value) { ::setsockopt(fd, level, option, &value, sizeof(value)); };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveIdleSeconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveIntervalSeconds);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(kUserTimeout.count()));
}

}  // namespace ferrun
