// Whether this node's agent hosts the job's coordinator: it does when it holds the address that the endpoint names, so
// that all agents agree without having met. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/endpoint.h"
#include "rendezvous/job/ip_address.h"

namespace ferrun {

// One address that the endpoint's name resolves to.
struct EndpointAddress {
  IpAddress ip;
  bool here = false;      // a socket of this host can be bound to it
  std::string interface;  // then: of this host
};

struct HostElection {
  bool hosts = false;
  bool wildcard = false;  // then listen on every address
  // Else on these. The first one decides: whoever listens there is the host.
  std::vector<IpAddress> listen;
  std::string reason;  // one sentence, either way
};

// `own` are all addresses of this host. `is_host` is the user's word, which overrides.
//
// Never two hosts for one job: where a name has addresses of several hosts, the lowest address decides. Addresses that
// are the same on many hosts (loopback, inner bridges, link-local) decide only where the name has no others.
HostElection elect_host(const Endpoint& endpoint, const std::vector<EndpointAddress>& addresses,
                        const std::vector<HostAddress>& own, std::optional<bool> is_host);

}  // namespace ferrun
