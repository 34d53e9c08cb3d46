// By which addresses the other nodes reach this one.
//
// Ownership: owned by the node driver. Thread rule: one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "launcher/config/rendezvous_config.h"
#include "rendezvous/job/ip_address.h"

namespace ferrun {

class NodeAddress {
 public:
  // `config` must outlive this.
  explicit NodeAddress(const RendezvousConfig& config) : config_(config) {}

  // Looks at this machine's interfaces. A name as --local-addr is looked up, for which it blocks. kUser when there is
  // no such interface or address.
  Status find();

  // Numeric, the preferred one first.
  std::vector<std::string> advertised() const;

  // The same for a store on this node: first of all where this end of the connection to the coordinator is, which the
  // others have reached, or one like it. Unless the user has said better.
  std::vector<std::string> of_store() const;
  // `connection`: a connected socket, to the coordinator.
  void learn_from(int connection);

 private:
  const RendezvousConfig& config_;
  std::vector<HostAddress> own_;
  std::optional<IpAddress> towards_coordinator_;
};

}  // namespace ferrun
