// The port of a job's coordinator: accepts connections on the addresses of the election and tells agents from the
// workers' store clients, with whom they may share it, by their first bytes.
//
// Connections that have not said enough are few and short-lived: after five seconds, or when there are too many, the
// oldest is closed. A flood of silent strangers so never keeps an agent out, which speaks at once.
//
// Ownership: owned by a driver, on the thread that runs `io`, as are all callbacks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rendezvous/coordinator/host_election.h"

namespace ferrun {

class AgentListener {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  // `first`: what has been read of the stream already.
  using OnConnection =
      std::function<void(Socket socket, const boost::asio::ip::tcp::endpoint& peer, std::string_view first)>;

  struct Callbacks {
    OnConnection agent;
    OnConnection store_client;  // none: no store is served on this port
    std::function<void(const std::string&)> log;
  };

  enum class Outcome {
    kListening,
    kTaken,    // another process listens there: another agent of this host, or a stranger
    kNotHere,  // no address of this host, after all
    kRefused,  // by the machine, for another reason
  };
  struct Opened {
    Outcome outcome = Outcome::kRefused;
    std::unique_ptr<AgentListener> listener;  // when listening
    std::string why;                          // otherwise, one line
  };

  // Listens before it returns, on every address of the election that can be had; the first one decides.
  static Opened open(boost::asio::io_context& io, const HostElection& election, uint16_t port, Callbacks callbacks);
  ~AgentListener();

  uint16_t port() const;
  // Where the agent of this very process reaches it.
  const std::vector<IpAddress>& addresses() const;
  size_t undecided() const;

  // Every store client that has connected until now will be reset, those too that have not said yet what they are. For
  // the moment when the last worker of an old round is gone.
  void forget_store_clients();

 private:
  struct Impl;
  explicit AgentListener(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace ferrun
