// A store machine with clients that speak the protocol's bytes, without sockets: what each client would have received.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rendezvous/store/store_codec.h"
#include "rendezvous/store/store_machine.h"
#include "tests/rendezvous/store/store_messages.h"

namespace ferrun {

class StoreHarness {
 public:
  // Sends `message` from `client` and carries out everything that it causes.
  void send(StoreConnectionId client, const std::string& message) {
    auto& parser = parsers_[client];
    const std::string bytes = parser ? message : store_messages::validate() + message;
    if (!parser) parser = std::make_unique<StoreParser>();
    parser->feed(bytes);
    StoreRequest request;
    while (parser->next(request) == StoreParser::Outcome::kRequest) {
      machine_.step(client, request, effects_);
      carry_out();
    }
  }

  // What `client` has received since it was last asked, and forgets it.
  std::string received(StoreConnectionId client) { return std::exchange(inbox_[client], ""); }

  std::string ask(StoreConnectionId client, const std::string& message) {
    send(client, message);
    return received(client);
  }

  void disconnect(StoreConnectionId client) {
    machine_.disconnect(client);
    parsers_.erase(client);
    inbox_.erase(client);
  }

  // Why the machine closed the connection of `client`; empty when it did not.
  std::string closed(StoreConnectionId client) const {
    const auto entry = closed_.find(client);
    return entry == closed_.end() ? "" : entry->second;
  }

  const StoreMachine& machine() const { return machine_; }

 private:
  void carry_out() {
    for (const StoreEffects::Effect& effect : effects_.all()) {
      EXPECT_EQ(closed(effect.connection), "") << "an effect for a connection that was closed";
      if (effect.close.empty()) {
        inbox_[effect.connection] += effects_.bytes_of(effect);
      } else {
        closed_[effect.connection] = effect.close;
      }
    }
    effects_.clear();
  }

  StoreMachine machine_;
  StoreEffects effects_;
  std::map<StoreConnectionId, std::unique_ptr<StoreParser>> parsers_;
  std::map<StoreConnectionId, std::string> inbox_;
  std::map<StoreConnectionId, std::string> closed_;
};

}  // namespace ferrun
