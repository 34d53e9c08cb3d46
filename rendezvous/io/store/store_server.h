// The workers' key-value store on the network: torch's TCPStore protocol, served on the agent's event loop.
//
// Role: accept connections, feed bytes to the pure codec and machine (rendezvous/store/), write the answers. It decides
// nothing. Ownership: owned by the agent driver; holds every connection. Thread rule: all calls and callbacks on the
// thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/time.h"

namespace ferrun {

struct StoreServerOptions {
  // Numeric address or name to listen on; empty means every address ("::" with IPv4, else 0.0.0.0).
  std::string address;
  // 0 lets the kernel choose.
  uint16_t port = 0;
  // One line for a person who wants to know everything: a connection of which nothing was heard. May be empty.
  std::function<void(const std::string&)> log;
  // One line that explains why workers hang or fail: a refused address, a client that is too old, a value over the
  // limit, no descriptor left. What comes in masses goes to the log. Empty: to the log as well.
  std::function<void(const std::string&)> warn = nullptr;
  // How long a client may be silent before it begins to speak.
  Duration patience = std::chrono::seconds(30);
};

class StoreServer {
 public:
  // Listens before it returns. A port in use gives kPlatform with the address and, where /proc tells, the owner's
  // pid and program.
  static Result<std::unique_ptr<StoreServer>> listen(boost::asio::io_context& io, StoreServerOptions options);
  // Does not listen: the connections that it is to serve are given to it, by the owner of `options.port`.
  static std::unique_ptr<StoreServer> without_listener(StoreServerOptions options);
  ~StoreServer();

  // Serves this connection, of which the bytes `first` have been read already.
  void adopt(boost::asio::ip::tcp::socket socket, const boost::asio::ip::tcp::endpoint& peer, std::string_view first);

  // From now on accepts connections from these numeric addresses, this host's own and loopback only. The first one
  // from each other address is told. Without this call everybody is served.
  void admit_only(const std::vector<std::string>& addresses);

  uint16_t port() const;
  // Clients connected now.
  size_t connection_count() const;
  // Clients that have ever sent the protocol's handshake, since the start or reset(): 0 means that no worker has found
  // its way here.
  size_t clients_seen() const;

  // An empty store on the same port for the next attempt. To be called only when no process of the old attempt is
  // left: accepts and drops what waits in the backlog, resets every connection, forgets every key.
  void reset();

 private:
  struct Impl;
  explicit StoreServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ferrun
