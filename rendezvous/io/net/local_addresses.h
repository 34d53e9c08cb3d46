// The addresses of this host.
#pragma once

#include <vector>

#include "rendezvous/coordinator/host_election.h"
#include "rendezvous/job/ip_address.h"

namespace ferrun {

// Of every interface that is up, loopback included, in the kernel's order. Empty when the kernel does not tell.
std::vector<HostAddress> local_addresses();

// For each address whether a socket of this host can be bound to it, and the interface that has it.
std::vector<EndpointAddress> found_here(const std::vector<IpAddress>& addresses, const std::vector<HostAddress>& own);

// The interface of this host that has the address; empty when none has.
std::string interface_of(const IpAddress& address, const std::vector<HostAddress>& own);

}  // namespace ferrun
