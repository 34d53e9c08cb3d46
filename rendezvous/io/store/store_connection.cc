#include "rendezvous/io/store/store_connection.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "rendezvous/io/net/listener.h"

namespace ferrun {
namespace {

bool only_not_yet(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

StoreConnection::StoreConnection(boost::asio::ip::tcp::socket socket, const boost::asio::ip::tcp::endpoint& peer,
                                 StoreConnectionId id, Owner& owner)
    : owner_(owner), id_(id), peer_(peer) {
  const boost::asio::any_io_executor executor = socket.get_executor();
  boost::system::error_code failed;
  fd_ = socket.release(failed);
  if (failed) fd_ = -1;
  watched_ = EPOLLIN;
  if (!open() || owner_.poll().add(executor, fd_, id_, watched_)) return;
  ::close(fd_);
  fd_ = -1;
}

void StoreConnection::ready(uint32_t events) {
  constexpr uint32_t kOver = EPOLLERR | EPOLLHUP;
  if (unsent() > 0 && (events & (EPOLLOUT | kOver)) != 0) return flush();
  if ((events & (EPOLLIN | kOver)) != 0) read();
}

void StoreConnection::read() {
  const std::span<char> buffer = owner_.read_buffer();
  const ssize_t size = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (size > 0) {
    owner_.received(*this, std::string_view(buffer.data(), static_cast<size_t>(size)));
  } else if (size == 0 || !only_not_yet(errno)) {
    owner_.lost(*this);
  }
}

void StoreConnection::send(std::string_view bytes) {
  if (!open() || failed_) return;
  if (unsent() == 0) {
    bytes.remove_prefix(try_send(bytes));
    if (bytes.empty() || failed_) return;
    outbox_.clear();
    sent_ = 0;
  }
  outbox_.append(bytes);
  watch();
}

// A failed connection is only marked: the next read finds the end of the stream and tells the owner, from the loop.
size_t StoreConnection::try_send(std::string_view bytes) {
  const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<size_t>(sent);
  failed_ = !only_not_yet(errno);
  return 0;
}

void StoreConnection::watch() {
  const uint32_t wanted = (unsent() > 0 ? uint32_t{EPOLLOUT} : 0) | (congested() ? 0 : uint32_t{EPOLLIN});
  if (wanted != std::exchange(watched_, wanted)) owner_.poll().change(fd_, id_, wanted);
}

void StoreConnection::flush() {
  const bool was_congested = congested();
  sent_ += try_send(std::string_view(outbox_).substr(sent_));
  if (failed_) return owner_.lost(*this);
  // A peer that is always behind never empties the outbox: what has left goes before it is more than what stays.
  if (unsent() == 0 || sent_ > kCongestedBytes) {
    outbox_.erase(0, sent_);
    sent_ = 0;
  }
  if (unsent() == 0 && outbox_.capacity() > kKeptCapacity) outbox_.shrink_to_fit();
  watch();
  if (was_congested && !congested()) owner_.drained(*this);
}

void StoreConnection::close() {
  if (!open()) return;
  owner_.poll().remove(fd_);
  reset_and_close(std::exchange(fd_, -1));
}

bool StoreConnection::has_unread_bytes() const {
  int bytes = 0;
  return ::ioctl(fd_, FIONREAD, &bytes) == 0 && bytes > 0;
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
