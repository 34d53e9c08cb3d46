// Hosts the coordinator of a job if this machine has the endpoint's address: looks the name up, listens there, finds
// what an earlier coordinator left, and runs the coordinator machine in this event loop.
//
// Ownership: owned by the node driver, or by `ferrun coordinator`, on the thread that runs `io`, as are all callbacks;
// none comes once it is gone.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "launcher/config/job_config.h"
#include "rendezvous/io/coordinator/agent_listener.h"
#include "rendezvous/io/coordinator/coordinator_server.h"
#include "rendezvous/io/coordinator/state_claim.h"
#include "rendezvous/io/net/resolver.h"

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
  };

  enum class Outcome {
    kHosting,
    kElsewhere,  // on another machine
    kTaken,      // another process of this machine has the port: another agent, or a stranger
    kUnknown,    // the name has no address yet; it is looked up again
  };

  struct Callbacks {
    std::function<void(LogLevel, const std::string&)> say;
    // Of every election: kUnknown any number of times, then one of the others. `why`: one sentence.
    std::function<void(Outcome, const std::string& why)> decided;
    // This machine is to host the coordinator, and cannot.
    std::function<void(const Error&)> failed;
    AgentListener::OnConnection store_client;  // for a store that shares the port
    // The job is over and everybody has been told. The state file is gone.
    std::function<void(const JobEnd&)> done;
  };

  CoordinatorHost(boost::asio::io_context& io, Options options, Callbacks callbacks);
  ~CoordinatorHost();

  // Begins an election; not while hosting.
  void start();

  bool hosting() const { return server_ != nullptr; }
  bool done() const { return done_; }
  // Only while hosting.
  AgentListener& listener() { return *listener_; }
  // The process is told to stop by a signal; 0: its own agent leaves for another reason.
  void stop(int signal);

 private:
  void answered(const NameAnswer& answer);
  void elect(const std::vector<IpAddress>& addresses);
  void host(std::unique_ptr<AgentListener> listener, const std::string& why);
  StateOwner state_owner() const;
  bool state_is_kept() const { return claim_ && claim_->held(); }
  void keep_state_fresh();
  void end(const JobEnd& end);

  boost::asio::io_context& io_;
  Options options_;
  Callbacks callbacks_;
  std::shared_ptr<Resolver> resolver_;
  std::optional<StateClaim> claim_;
  std::unique_ptr<AgentListener> listener_;
  std::unique_ptr<CoordinatorServer> server_;
  boost::asio::steady_timer freshness_;
  bool done_ = false;
};

// The file in which an agent keeps the state of a coordinator that it hosts, below the runtime folder.
std::filesystem::path private_state_file(const std::filesystem::path& folder, const RendezvousConfig& rendezvous);

}  // namespace ferrun
