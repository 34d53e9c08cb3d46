// One attempt to connect to one address, on the event loop.
//
// Ownership: shared with its pending operations. Thread rule: all calls and callbacks on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>

#include "common/time.h"
#include "rendezvous/job/ip_address.h"

namespace ferrun {

class TcpDial : public std::enable_shared_from_this<TcpDial> {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  // The socket is connected when there is no error. timed_out when nobody answered.
  using OnDone = std::function<void(const boost::system::error_code&, Socket)>;

  // Calls on_done once from the loop, after `timeout` at the latest. The socket does not block, does not delay small
  // packets and is closed on exec. `from`: bound to this address of the host, for a caller that needs many ports.
  static std::shared_ptr<TcpDial> start(boost::asio::io_context& io, const IpAddress& address, uint16_t port,
                                        Duration timeout, OnDone on_done, const IpAddress* from = nullptr);

  // No further callback.
  void cancel();

 private:
  TcpDial(boost::asio::io_context& io, OnDone on_done);
  void connect(const boost::asio::ip::tcp::endpoint& to, Duration timeout, const IpAddress* from);
  void done(const boost::system::error_code& error);

  Socket socket_;
  boost::asio::steady_timer timer_;
  OnDone on_done_;  // none once done
};

// Why a connection could not be made, as the predicate of a sentence about the address: "refused the connection".
std::string dial_failure(const boost::system::error_code& error);

}  // namespace ferrun
