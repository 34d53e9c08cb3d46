#include "rendezvous/io/net/local_addresses.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "common/io/unique_fd.h"
#include "rendezvous/io/net/socket_address.h"

namespace ferrun {
namespace {

bool can_be_bound(const IpAddress& address) {
  const auto endpoint = endpoint_of(address, 0);
  const UniqueFd socket(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  return socket && ::bind(socket.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0;
}

}  // namespace

std::vector<HostAddress> local_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  std::vector<HostAddress> found;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0) continue;
    if (const std::optional<IpAddress> address = ip_address_of(*entry->ifa_addr))
      found.push_back({*address, entry->ifa_name});
  }
  ::freeifaddrs(list);
  return found;
}

std::string interface_of(const IpAddress& address, const std::vector<HostAddress>& own) {
  const auto entry = std::find_if(own.begin(), own.end(), [&](const HostAddress& a) { return a.ip == address; });
  if (entry != own.end()) return entry->interface;
  if (!is_loopback(address)) return "";
  // All of 127.0.0.0/8 is the loopback interface's, which has one address of it.
  const auto lo = std::find_if(own.begin(), own.end(), [](const HostAddress& a) { return is_loopback(a.ip); });
  return lo == own.end() ? "" : lo->interface;
}

std::vector<EndpointAddress> found_here(const std::vector<IpAddress>& addresses, const std::vector<HostAddress>& own) {
  std::vector<EndpointAddress> found;
  for (const IpAddress& address : addresses) {
    // Binding alone proves nothing where net.ipv4.ip_nonlocal_bind is set.
    const std::string interface = interface_of(address, own);
    const bool here = !interface.empty() && can_be_bound(address);
    found.push_back({address, here, here ? interface : ""});
  }
  return found;
}

}  // namespace ferrun
