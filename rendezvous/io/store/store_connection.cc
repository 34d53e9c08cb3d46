#include "rendezvous/io/store/store_connection.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "rendezvous/io/net/listener.h"

namespace ferrun {

using boost::asio::ip::tcp;
using boost::system::error_code;

StoreConnection::StoreConnection(tcp::socket socket, const tcp::endpoint& peer, StoreConnectionId id, Owner& owner)
    : socket_(std::move(socket)), peer_(peer), id_(id), owner_(&owner) {}

void StoreConnection::await_bytes() {
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code&) {
    if (self->open()) self->read();
  });
}

void StoreConnection::read() {
  const std::span<char> buffer = owner_->read_buffer();
  const ssize_t size = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (size > 0) {
    owner_->received(*this, std::string_view(buffer.data(), static_cast<size_t>(size)));
  } else if (size == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
    return owner_->lost(*this);
  }
  if (open() && !congested()) await_bytes();
}

void StoreConnection::send(std::string_view bytes) {
  if (!open() || failed_) return;
  if (unsent() == 0) {
    bytes.remove_prefix(try_send(bytes));
    if (bytes.empty() || failed_) return;
    outbox_.clear();
    sent_ = 0;
    await_room();
  }
  outbox_.append(bytes);
}

// A failed connection is only marked: the next read finds the end of the stream and tells the owner, from the loop.
size_t StoreConnection::try_send(std::string_view bytes) {
  const ssize_t sent = ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<size_t>(sent);
  failed_ = errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
  return 0;
}

void StoreConnection::await_room() {
  socket_.async_wait(tcp::socket::wait_write, [self = shared_from_this()](const error_code&) {
    if (self->open()) self->flush();
  });
}

void StoreConnection::flush() {
  const bool was_congested = congested();
  sent_ += try_send(std::string_view(outbox_).substr(sent_));
  if (failed_) return owner_->lost(*this);
  // A peer that is always behind never empties the outbox: what has left goes before it is more than what stays.
  if (unsent() == 0 || sent_ > kCongestedBytes) {
    outbox_.erase(0, sent_);
    sent_ = 0;
  }
  if (unsent() > 0) {
    await_room();
  } else if (outbox_.capacity() > kKeptCapacity) {
    outbox_.shrink_to_fit();
  }
  if (!was_congested || congested()) return;
  owner_->drained(*this);
  if (open() && !congested()) await_bytes();
}

void StoreConnection::close() {
  owner_ = nullptr;
  reset_connection(socket_);
}

bool StoreConnection::has_unread_bytes() const {
  error_code failed;
  return socket_.available(failed) > 0 && !failed;
}

std::string StoreConnection::peer() const {
  const auto address = peer_.address();
  const bool mapped = address.is_v6() && address.to_v6().is_v4_mapped();
  const std::string host =
      mapped ? boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6()).to_string()
             : address.to_string();
  return (address.is_v6() && !mapped ? "[" + host + "]" : host) + ":" + std::to_string(peer_.port());
}

}  // namespace ferrun
