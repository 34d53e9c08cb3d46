#include "rendezvous/coordinator/host_election.h"

#include <algorithm>

namespace ferrun {
namespace {

bool same_on_many_hosts(const EndpointAddress& address) {
  return is_loopback(address.ip) || is_link_local(address.ip) || is_inner_bridge(address.interface);
}

// "localhost" and what else means this host wherever it is said.
bool means_any_host(const std::string& name) {
  return name == "localhost" || name.ends_with(".localhost") || name.starts_with("localhost.") ||
         name == "ip6-localhost" || name == "ip6-loopback" || parse_ip_address(name).has_value();
}

void add(std::vector<IpAddress>& list, const IpAddress& address) {
  if (std::find(list.begin(), list.end(), address) == list.end()) list.push_back(address);
}

std::string addresses_text(const std::vector<IpAddress>& addresses) {
  std::string text;
  for (const IpAddress& address : addresses) text += (text.empty() ? "" : ", ") + to_string(address);
  return text;
}

}  // namespace

HostElection elect_host(const Endpoint& endpoint, const std::vector<EndpointAddress>& addresses,
                        const std::vector<HostAddress>& own, std::optional<bool> is_host) {
  if (is_host && *is_host) return {true, true, {}, "is_host=true makes this node the coordinator's"};
  if (is_host) return {false, false, {}, "is_host=false leaves the coordinator to another node"};

  std::vector<EndpointAddress> deciding = addresses;
  std::erase_if(deciding, same_on_many_hosts);
  if (deciding.empty()) deciding = addresses;
  if (deciding.empty()) return {false, false, {}, endpoint.host + " has no address"};
  std::sort(deciding.begin(), deciding.end(),
            [](const EndpointAddress& a, const EndpointAddress& b) { return a.ip < b.ip; });

  std::vector<IpAddress> here, elsewhere;
  for (const EndpointAddress& address : deciding) add(address.here ? here : elsewhere, address.ip);
  if (here.empty()) return {false, false, {}, endpoint.host + " (" + addresses_text(elsewhere) + ") is another node"};
  if (!deciding.front().here) {
    return {false,
            false,
            {},
            endpoint.host + " has addresses of other nodes too, and the lowest one, " + to_string(elsewhere.front()) +
                ", decides: the coordinator is there (is_host=true overrides)"};
  }

  HostElection elected{true, false, here, endpoint.host + " (" + addresses_text(here) + ") is this node"};
  for (const EndpointAddress& address : addresses) {
    if (address.here) add(elected.listen, address.ip);
  }
  // Distributions write the host's own name to /etc/hosts with a loopback address. Others look elsewhere for it.
  const bool only_loopback =
      std::all_of(addresses.begin(), addresses.end(), [](const EndpointAddress& a) { return is_loopback(a.ip); });
  if (only_loopback && !means_any_host(endpoint.host)) {
    for (const HostAddress& address : own) add(elected.listen, address.ip);
  }
  return elected;
}

}  // namespace ferrun
