// A listening TCP socket on the event loop: it accepts, and hands every connection to its owner.
//
// Ownership: shared with its own pending operations; the owner calls close() before it goes. Thread rule: all calls and
// callbacks on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/result.h"

namespace ferrun {

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using OnAccept = std::function<void(Socket, const boost::asio::ip::tcp::endpoint& peer)>;
  using Log = std::function<void(const std::string&)>;

  // Listens before it returns, on `address` (numeric or a name) or on every address when that is empty: "::" for IPv6
  // and IPv4, else 0.0.0.0. Accepted sockets do not block, do not delay small packets and are closed on exec.
  // kPlatform with the address and the reason when the machine refuses; a port in use names who holds it.
  static Result<std::shared_ptr<Listener>> listen(boost::asio::io_context& io, const std::string& address,
                                                  uint16_t port, OnAccept on_accept, Log log);

  // The same on exactly this address, without a line for a person: null and `error` when the machine refuses.
  static std::shared_ptr<Listener> listen_on(boost::asio::io_context& io, const boost::asio::ip::tcp::endpoint& at,
                                             OnAccept on_accept, Log log, boost::system::error_code& error);

  uint16_t port() const { return port_; }
  // Accepted sockets inherit its options.
  int native_handle() { return acceptor_.native_handle(); }

  // Accepts every connection that waits to be accepted, now.
  void accept_waiting();
  // Accepts every connection that waits to be accepted and resets it; the owner never sees these.
  void drop_backlog();

  // Stops for good; on_accept is not called again.
  void close();

 private:
  Listener(boost::asio::ip::tcp::acceptor acceptor, OnAccept on_accept, Log log);

  void await_connection();
  enum class Accepted { kAll, kSome, kNoRoom };
  Accepted accept_batch(int most);
  void accept_next();
  void pause();
  int accept_one(boost::asio::ip::tcp::endpoint& peer, int& error);

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  uint16_t port_ = 0;
  OnAccept on_accept_;
  Log log_;
  bool out_of_descriptors_ = false;  // said once for each time it happens
};

// Closes `socket` such that the peer gets a reset and no unread byte of either side survives.
void reset_connection(boost::asio::ip::tcp::socket& socket);
void reset_and_close(int fd);

}  // namespace ferrun
