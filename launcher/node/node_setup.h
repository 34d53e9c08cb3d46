// From the configuration to what a node, its machines and its coordinator want to know. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/time.h"
#include "launcher/config/job_config.h"
#include "launcher/node/hosting_machine.h"
#include "launcher/node/node_machine.h"
#include "rendezvous/coordinator/coordinator_machine.h"
#include "rendezvous/etcd/seat_machine.h"

namespace ferrun {

// How long after its start a node makes what others ask of it while it runs: the socket for `ferrun status`, the watch
// for kills by the kernel. Nobody asks a job of one node that is over in a moment, and that is not to pay for it.
Duration settling_time(const JobConfig& config);

// `addresses`: numeric, by which the other nodes reach this one, the preferred one first; none for a job of one
// node.
NodeConfig node_config(const JobConfig& config, std::vector<std::string> addresses);

HostingConfig hosting_config(const RendezvousConfig& config, bool own_process);

// Only with etcd.
etcd::SeatConfig seat_config(const RendezvousConfig& config);

// Where this agent's coordinator is reached, for the seat. `addresses`: numeric, of this machine.
etcd::SeatHolder seat_holder(const RendezvousConfig& config, const std::string& host,
                             const std::vector<std::string>& addresses, uint16_t port);

// Hosted by `host_agent`, or in a process of its own where that is none.
CoordinatorConfig coordinator_config(const RendezvousConfig& config, AgentId host_agent, const std::string& launch_id);

}  // namespace ferrun
