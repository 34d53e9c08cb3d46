// The coordinator of a job in this process: listens at the endpoint, finds what an earlier coordinator left, and runs
// the coordinator machine in this event loop. Whether and when is the hosting machine's decision.
//
// Ownership: owned by the HostingDriver, on the thread that runs `io`, as are all callbacks; none comes once it is
// gone.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/result.h"
#include "launcher/config/job_config.h"
#include "launcher/node/hosting_events.h"
#include "rendezvous/io/coordinator/agent_listener.h"
#include "rendezvous/io/coordinator/coordinator_server.h"
#include "rendezvous/io/coordinator/state_store.h"

namespace ferrun {

class CoordinatorHost {
 public:
  struct Options {
    RendezvousConfig rendezvous;
    std::string launch_id;  // of this launch, for a new job
    std::shared_ptr<const JobSecret> secret;
    bool own_process = false;          // `ferrun coordinator`
    std::filesystem::path state_file;  // empty: nothing is kept
    // The state file is this machine's own affair, not the user's: what is old or cannot be read is left aside.
    bool state_is_private = false;
    // What keeps the state in place of a file; empty: the file does.
    std::function<std::unique_ptr<StateStore>(const StateOwner&)> open_store;
    std::function<bool()> may_act;  // the server's
    // Where agents of this machine leave their claims; empty: nothing is known of them.
    std::filesystem::path claims;
  };

  struct Callbacks {
    std::function<void(LogLevel, const std::string&)> say;
    AgentListener::OnConnection store_client;  // for a store that shares the port
    // The job is over and everybody has been told. The state file is gone.
    std::function<void(const JobEnd&)> done;
  };
  using Started = std::variant<HostingBegan, HostingFailed>;

  CoordinatorHost(boost::asio::io_context& io, Options options, Callbacks callbacks);

  // Listens where the election says, finds what an earlier coordinator left, and runs; or why not. Not while it runs.
  Started start(const HostElection& election);
  // While it runs; null otherwise.
  AgentListener* listener() { return listener_.get(); }
  bool round_begun() const;
  // The process is told to stop by a signal; 0: its own agent leaves for another reason.
  void stop(int signal);
  // Ends it without a word, and leaves no state; it may be started again.
  void close();

 private:
  AgentListener::Opened listen(const HostElection& election);
  std::unique_ptr<StateStore> open_store() const;
  HostingFailed not_opened(const AgentListener::Opened& opened) const;
  Status serve();
  StateOwner state_owner() const;
  void look_for_remains(CoordinatorState& earlier);
  void look_again_for_remains();
  void end(const JobEnd& end);

  boost::asio::io_context& io_;
  Options options_;
  Callbacks callbacks_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<AgentListener> listener_;
  std::unique_ptr<CoordinatorServer> server_;
  std::vector<AgentId> dying_;  // of the earlier coordinator's round: on this machine, and perhaps not gone yet
  boost::asio::steady_timer look_again_;
};

// The file in which an agent keeps the state of a coordinator that it hosts, below the runtime folder.
std::filesystem::path private_state_file(const std::filesystem::path& folder, const RendezvousConfig& rendezvous);

}  // namespace ferrun
