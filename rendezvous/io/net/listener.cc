#include "rendezvous/io/net/listener.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/error.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "rendezvous/io/net/port_owner.h"

namespace ferrun {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

// With every descriptor in use a waiting connection keeps the listener readable: accepting again at once would spin.
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr int kAcceptBatch = 64;

std::string show(const tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(endpoint.port());
}

error_code last_error() { return {errno, boost::system::system_category()}; }

// Asio's own open() does not set close-on-exec, and a worker must not inherit the port.
error_code open_and_listen(tcp::acceptor& acceptor, const tcp::endpoint& at) {
  const int fd = ::socket(at.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return last_error();
  error_code error;
  acceptor.assign(at.protocol(), fd, error);
  if (error) {
    ::close(fd);
    return error;
  }
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.set_option(tcp::no_delay(true), error);  // accepted sockets inherit it
  if (!error && at.address().is_v6()) {
    acceptor.set_option(boost::asio::ip::v6_only(!at.address().is_unspecified()), error);
  }
  if (!error) acceptor.bind(at, error);
  if (!error) acceptor.listen(boost::asio::socket_base::max_listen_connections, error);
  if (error) {
    error_code ignored;
    acceptor.close(ignored);
  }
  return error;
}

Error cannot_listen(const std::string& where, uint16_t port, const error_code& error) {
  std::string message = "cannot listen on " + where + ": ";
  if (error == boost::asio::error::address_in_use) {
    const auto owner = port_owner(port);
    message += owner ? "the port is in use by " + *owner : "the port is in use by a process that this user may not see";
    message += "; stop that process or choose another port";
  } else {
    message += error.message();
    if (error == boost::asio::error::access_denied) message += "; choose a port above 1023";
  }
  return {ErrorKind::kPlatform, message};
}

// A machine without IPv6 has no "::" to bind; a port in use is in use with IPv4 as well.
bool lacks_ipv6(const error_code& error) {
  return error == boost::asio::error::address_family_not_supported || error == boost::asio::error::no_protocol_option ||
         error.value() == EADDRNOTAVAIL || error.value() == EPROTONOSUPPORT;
}

bool out_of_resources(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

void reset_descriptor(int fd) {
  const linger at_once{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

}  // namespace

Result<std::shared_ptr<Listener>> Listener::listen(boost::asio::io_context& io, const std::string& address,
                                                   uint16_t port, OnAccept on_accept, Log log) {
  std::vector<tcp::endpoint> candidates;
  if (address.empty()) {
    candidates = {tcp::endpoint(tcp::v6(), port), tcp::endpoint(tcp::v4(), port)};
  } else {
    error_code error;
    tcp::resolver resolver(io);
    for (const auto& entry : resolver.resolve(address, std::to_string(port), tcp::resolver::passive, error)) {
      candidates.push_back(entry.endpoint());
    }
    if (error) return cannot_listen(address + ":" + std::to_string(port), port, error);
  }
  error_code error;
  std::string where;
  for (const tcp::endpoint& candidate : candidates) {
    where = show(candidate);
    if (std::shared_ptr<Listener> listener = listen_on(io, candidate, on_accept, log, error)) return listener;
    if (address.empty() && !lacks_ipv6(error)) break;
  }
  return cannot_listen(where, port, error);
}

std::shared_ptr<Listener> Listener::listen_on(boost::asio::io_context& io, const tcp::endpoint& at, OnAccept on_accept,
                                              Log log, error_code& error) {
  tcp::acceptor acceptor(io);
  error = open_and_listen(acceptor, at);
  if (error) return nullptr;
  std::shared_ptr<Listener> listener(new Listener(std::move(acceptor), std::move(on_accept), std::move(log)));
  listener->await_connection();
  return listener;
}

Listener::Listener(tcp::acceptor acceptor, OnAccept on_accept, Log log)
    : acceptor_(std::move(acceptor)),
      pause_(acceptor_.get_executor()),
      port_(acceptor_.local_endpoint().port()),
      on_accept_(std::move(on_accept)),
      log_(std::move(log)) {}

void Listener::await_connection() {
  acceptor_.async_wait(tcp::acceptor::wait_read, [self = shared_from_this()](const error_code& error) {
    if (!error && self->acceptor_.is_open()) self->accept_next();
  });
}

// In batches: those that are accepted get their turn before the next ones of a flood.
void Listener::accept_next() {
  const Accepted accepted = accept_batch(kAcceptBatch);
  if (!acceptor_.is_open()) return;
  if (accepted == Accepted::kNoRoom) return pause();
  await_connection();
}

void Listener::accept_waiting() {
  while (acceptor_.is_open() && accept_batch(kAcceptBatch) == Accepted::kSome) {
  }
}

Listener::Accepted Listener::accept_batch(int most) {
  for (int accepted = 0; accepted < most && acceptor_.is_open(); ++accepted) {
    tcp::endpoint peer;
    int error = 0;
    const int fd = accept_one(peer, error);
    if (fd < 0 && out_of_resources(error)) {
      if (!out_of_descriptors_ && log_) {
        const char* remedy = error == EMFILE ? " (ulimit -n sets how many)" : "";
        log_(std::string("cannot accept a connection: ") + std::strerror(error) + remedy + "; trying again");
      }
      out_of_descriptors_ = true;
      return Accepted::kNoRoom;
    }
    if (fd < 0 && (error == EAGAIN || error == EWOULDBLOCK)) return Accepted::kAll;
    if (fd < 0) continue;  // this one connection failed before it was accepted
    out_of_descriptors_ = false;
    Socket socket(acceptor_.get_executor());
    error_code failed;
    socket.assign(peer.protocol(), fd, failed);
    if (failed) {
      ::close(fd);
      continue;
    }
    on_accept_(std::move(socket), peer);
  }
  return Accepted::kSome;
}

void Listener::pause() {
  pause_.expires_after(kAcceptPause);
  pause_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error && self->acceptor_.is_open()) self->accept_next();
  });
}

int Listener::accept_one(tcp::endpoint& peer, int& error) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  const int fd =
      ::accept4(acceptor_.native_handle(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    error = errno;
    return fd;
  }
  std::memcpy(peer.data(), &address, std::min<size_t>(size, peer.capacity()));
  peer.resize(size);
  return fd;
}

void Listener::drop_backlog() {
  if (!acceptor_.is_open()) return;
  while (true) {
    tcp::endpoint peer;
    int error = 0;
    const int fd = accept_one(peer, error);
    if (fd >= 0) {
      reset_and_close(fd);
    } else if (error != ECONNABORTED && error != EINTR) {
      return;
    }
  }
}

void Listener::close() {
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
}

void reset_connection(tcp::socket& socket) {
  if (!socket.is_open()) return;
  reset_descriptor(socket.native_handle());
  error_code ignored;
  socket.close(ignored);
}

void reset_and_close(int fd) {
  reset_descriptor(fd);
  ::close(fd);
}

}  // namespace ferrun
