// The workers' store of the rounds of a job with several nodes: opened on the node of rank 0, and reached from all.
//
// Each round has an empty store that no worker of an older one reaches: a port of its own, or, where --master-port
// fixes it, the same port after every connection of the old round is cut. Where that port is the coordinator's, the
// listener of the agent that hosts it hands store clients over.
//
// Ownership: owned by the node driver, on the thread that runs `io`, as are all callbacks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "launcher/config/values.h"
#include "rendezvous/io/coordinator/agent_listener.h"
#include "rendezvous/io/store/store_dial.h"
#include "rendezvous/io/store/store_server.h"

namespace ferrun {

class RoundStore {
 public:
  using Log = std::function<void(const std::string&)>;

  struct Options {
    std::string address;  // to listen at; empty: all
    uint16_t port = 0;    // of every round; 0: a free one
    PortRange range;      // to take the free one from, where given
    Log log, warn;        // those of the store's server
  };

  RoundStore(boost::asio::io_context& io, Options options);
  ~RoundStore();

  // From now on the coordinator's listener is this process's; its store clients come through adopt(). Null: no longer.
  void share(AgentListener* listener) { listener_ = listener; }
  // From now on every round has a free port: another process of this machine, the coordinator's, has the fixed one.
  void leave_port();
  void adopt(boost::asio::ip::tcp::socket socket, const boost::asio::ip::tcp::endpoint& peer, std::string_view first);

  // Opens an empty one for a new round, for these addresses alone, and returns its port.
  Result<uint16_t> open(const std::vector<std::string>& admitted);
  void close() { server_.reset(); }
  // Clients that have reached the one that is open; none: it is not here.
  std::optional<size_t> clients_seen() const;

  // Finds the way to the store of a round, wherever it is. Replaces an earlier search, whose on_done does not come.
  void reach(const std::vector<std::string>& addresses, uint16_t port, StoreDial::OnDone on_done);

 private:
  bool shares_port() const;
  Result<std::unique_ptr<StoreServer>> listen_anew();
  Result<std::unique_ptr<StoreServer>> listen(uint16_t port);
  Result<std::unique_ptr<StoreServer>> listen_in_range();

  boost::asio::io_context& io_;
  Options options_;
  uint16_t left_port_ = 0;  // that was to be every round's
  AgentListener* listener_ = nullptr;
  std::unique_ptr<StoreServer> server_;
  std::shared_ptr<StoreDial> dial_;
  uint32_t opened_ = 0;
};

}  // namespace ferrun
