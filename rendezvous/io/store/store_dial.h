// Finds the way to a round's store: which of the addresses of rank 0's node answers from here, and through which
// interface.
//
// All addresses are dialled at once. One counts as reached when it has answered the store's handshake and a ping, so
// that a stranger on the port is not taken for the store. Of several that work the one that stands first wins.
//
// Ownership: shared with its pending operations. Thread rule: all calls and callbacks on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/time.h"

namespace ferrun {

struct StoreRoute {
  std::string address;    // one of those that were given
  std::string local;      // this host's end of the connection, numeric
  std::string interface;  // the one that has `local`: what GLOO_SOCKET_IFNAME wants; empty when none is known to
};

class StoreDial {
 public:
  // kPlatform names every address and what became of it.
  using OnDone = std::function<void(Result<StoreRoute>)>;

  // `addresses` are numeric. Tries those that fail again until `patience` is over; calls on_done once, from the loop.
  static std::shared_ptr<StoreDial> start(boost::asio::io_context& io, const std::vector<std::string>& addresses,
                                          uint16_t port, Duration patience, OnDone on_done);
  // No further callback.
  void cancel();

 private:
  struct State;
  explicit StoreDial(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace ferrun
