#include "rendezvous/io/net/tcp_dial.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

#include "rendezvous/io/net/socket_address.h"

namespace ferrun {

using boost::asio::ip::tcp;
using boost::system::error_code;

std::shared_ptr<TcpDial> TcpDial::start(boost::asio::io_context& io, const IpAddress& address, uint16_t port,
                                        Duration timeout, OnDone on_done, const IpAddress* from) {
  std::shared_ptr<TcpDial> dial(new TcpDial(io, std::move(on_done)));
  dial->connect(endpoint_of(address, port), timeout, from);
  return dial;
}

TcpDial::TcpDial(boost::asio::io_context& io, OnDone on_done) : socket_(io), timer_(io), on_done_(std::move(on_done)) {}

void TcpDial::connect(const tcp::endpoint& to, Duration timeout, const IpAddress* from) {
  // Asio's own open() does not set close-on-exec, and a worker must not hold the agent's connection.
  error_code error;
  const int fd = ::socket(to.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    error = {errno, boost::system::system_category()};
  } else {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    socket_.assign(to.protocol(), fd, error);
  }
  if (!error && from != nullptr) {
    // The port is chosen when the destination is known: one port can serve many destinations.
    const int on = 1;
    ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    socket_.bind(endpoint_of(*from, 0), error);
  }
  if (error) {
    boost::asio::post(socket_.get_executor(), [self = shared_from_this(), error] { self->done(error); });
    return;
  }
  socket_.async_connect(to, [self = shared_from_this()](const error_code& failed) { self->done(failed); });
  timer_.expires_after(timeout);
  timer_.async_wait([self = shared_from_this()](const error_code& cancelled) {
    if (!cancelled) self->done(boost::asio::error::timed_out);
  });
}

void TcpDial::done(const error_code& error) {
  if (!on_done_) return;
  timer_.cancel();
  const OnDone tell = std::exchange(on_done_, nullptr);
  Socket socket(socket_.get_executor());
  if (!error) socket = std::move(socket_);
  error_code ignored;
  socket_.close(ignored);
  tell(error, std::move(socket));
}

void TcpDial::cancel() {
  on_done_ = nullptr;
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

std::string dial_failure(const error_code& error) {
  switch (error.value()) {
    case ECONNREFUSED: return "refused the connection";
    case ETIMEDOUT: return "did not answer";
    case EHOSTUNREACH:
    case ENETUNREACH: return "could not be reached (it is down, or there is no route to it)";
    case ECONNRESET: return "reset the connection";
    default: return "could not be reached: " + error.message();
  }
}

}  // namespace ferrun
