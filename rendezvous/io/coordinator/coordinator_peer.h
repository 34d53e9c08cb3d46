// One connection of the coordinator: its bytes and its session. Owned by the coordinator server.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "rendezvous/io/net/session_connection.h"
#include "rendezvous/wire/session.h"

namespace ferrun {

class CoordinatorPeer final : public SessionConnection {
 public:
  enum class Phase {
    kHandshake,
    kMember,  // known to the machine
    kAsking,  // for the status, or for nothing
    kEnding,  // what is queued is sent, nothing is heard any more
  };

  CoordinatorPeer(boost::asio::ip::tcp::socket socket, Owner& owner, ConnectionId connection, std::string from,
                  std::shared_ptr<const JobSecret> secret, const Nonce& nonce)
      : SessionConnection(std::move(socket), owner),
        id(connection),
        address(std::move(from)),
        session(std::move(secret), nonce) {}

  const ConnectionId id;
  const std::string address;  // numeric
  ServerSession session;
  Phase phase = Phase::kHandshake;
  bool to_flush = false;
};

}  // namespace ferrun
