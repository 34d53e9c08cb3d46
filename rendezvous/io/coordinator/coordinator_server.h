// The coordinator of a job on the network: carries what agents say to the coordinator machine, and what it decides to
// them. In the event loop of the agent that hosts it, or of `ferrun coordinator`.
//
// Ownership: owned by a driver, on the thread that runs `io`, as are all callbacks. Nothing is called back once it is
// gone; its connections end with it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "rendezvous/coordinator/coordinator_machine.h"
#include "rendezvous/io/coordinator/state_store.h"
#include "rendezvous/wire/handshake.h"

namespace ferrun {

class CoordinatorServer {
 public:
  struct Options {
    CoordinatorConfig config;
    std::optional<CoordinatorState> saved;  // by an earlier coordinator of this job
    std::shared_ptr<const JobSecret> secret;
    StateStore* store = nullptr;  // outlives the server; null: nothing is kept
    // Whether it may still act as the job's coordinator; empty: always. While not, it hears and says nothing.
    std::function<bool()> may_act;
    // Connections whose handshake is not over; at one more the oldest is closed. 0: enough for all nodes at once.
    size_t most_handshakes = 0;
  };

  struct Callbacks {
    std::function<void(const RendezvousSay&)> say;
    // The job is over, and everybody who was there has been told. Called once.
    std::function<void(const JobEnd&)> done;
    // For measurements: every message of a member, before the machine hears it. May be empty.
    std::function<void(const MemberMessage&)> heard;
  };

  // The machine's time is boottime_now().
  CoordinatorServer(boost::asio::io_context& io, Options options, Callbacks callbacks);
  ~CoordinatorServer();

  // A connection that an agent (or who asks for the status) has made, and what has been read of it already.
  void adopt(boost::asio::ip::tcp::socket socket, const boost::asio::ip::tcp::endpoint& peer, std::string_view first);

  // What has become known of a node in the earlier coordinator's round.
  void note_remains(AgentId agent, Remains remains);
  // This process is told to end by a signal.
  void stop(int signal);

  const CoordinatorMachine& machine() const;
  size_t connection_count() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace ferrun
