// What the coordinator machine asks its driver for, in the order in which it was decided. Pure; owned by the core.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "rendezvous/coordinator/coordinator_events.h"
#include "rendezvous/coordinator/membership.h"

namespace ferrun {

class CoordinatorOutbox {
 public:
  // A member without a connection is told nothing.
  void tell(const Member& member, CoordinatorMessage message) {
    if (member.session != nullptr) tell(member.session->connection, std::move(message));
  }
  void tell(ConnectionId connection, CoordinatorMessage message) {
    effects_.emplace_back(Tell{connection, std::move(message)});
  }
  void tell_all(std::vector<ConnectionId> connections, CoordinatorMessage message) {
    if (!connections.empty()) effects_.emplace_back(TellAll{std::move(connections), std::move(message)});
  }
  void disconnect(ConnectionId connection) { effects_.emplace_back(Disconnect{connection}); }
  // Returns the ticket that the answer will carry; never 0.
  uint64_t save(CoordinatorState state) {
    effects_.emplace_back(SaveState{++ticket_, std::move(state)});
    return ticket_;
  }
  void say(RendezvousLevel level, std::string line) { effects_.emplace_back(RendezvousSay{level, std::move(line)}); }
  void done(JobEnd end) { effects_.emplace_back(CoordinatorDone{std::move(end)}); }

  std::vector<CoordinatorEffect> take() { return std::exchange(effects_, {}); }

 private:
  std::vector<CoordinatorEffect> effects_;
  uint64_t ticket_ = 0;
};

}  // namespace ferrun
