#include "launcher/io/node/node_address.h"

#include <sys/socket.h>

#include <algorithm>

#include "rendezvous/io/net/local_addresses.h"
#include "rendezvous/io/net/resolver.h"
#include "rendezvous/io/net/socket_address.h"

namespace ferrun {
namespace {

Error no_interface(const std::string& name, const std::vector<HostAddress>& own) {
  std::vector<std::string> names;
  for (const HostAddress& address : own) names.push_back(address.interface);
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::string list;
  for (const std::string& known : names) list += (list.empty() ? "" : ", ") + known;
  return Error{ErrorKind::kUser,
               "--iface=" + name + ": there is no such network interface with an address; there are " + list};
}

Result<std::string> numeric(const std::string& host) {
  if (host.empty() || parse_ip_address(host)) return host;
  const NameAnswer answer = look_up(host);
  if (answer.addresses.empty()) return Error{ErrorKind::kUser, "--local-addr=" + host + ": " + answer.error};
  // Distributions give the host's own name a loopback address as well.
  const auto better = std::ranges::find_if_not(answer.addresses, [](const IpAddress& a) { return is_loopback(a); });
  return to_string(better == answer.addresses.end() ? answer.addresses.front() : *better);
}

}  // namespace

Status NodeAddress::find() {
  const std::vector<HostAddress> own = local_addresses();
  const std::string& interface = config_.interface;
  const auto on_it = [&interface](const HostAddress& address) { return address.interface == interface; };
  if (!interface.empty() && std::ranges::none_of(own, on_it)) return no_interface(interface, own);
  const Result<std::string> wished = numeric(config_.local_address);
  if (!wished) return wished.error();
  own_ = in_preferred_order(own, {wished.value(), interface});
  return ok_status();
}

std::vector<std::string> NodeAddress::advertised() const {
  std::vector<std::string> addresses;
  for (const HostAddress& address : own_) addresses.push_back(to_string(without_zone(address.ip)));
  return addresses;
}

std::vector<std::string> NodeAddress::of_store() const {
  std::vector<std::string> addresses = advertised();
  const bool user_knows = !config_.local_address.empty() || !config_.interface.empty();
  // A loopback address means something else on every node, except where all of them are on this one.
  const bool of_use =
      towards_coordinator_ && (!is_loopback(*towards_coordinator_) || ferrun::is_loopback(config_.endpoint.host));
  if (user_knows || !of_use) return addresses;
  const std::string first = to_string(without_zone(*towards_coordinator_));
  std::erase(addresses, first);
  addresses.insert(addresses.begin(), first);
  return addresses;
}

void NodeAddress::learn_from(int connection) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(connection, reinterpret_cast<sockaddr*>(&address), &size) != 0) return;
  towards_coordinator_ = ip_address_of(reinterpret_cast<const sockaddr&>(address));
}

}  // namespace ferrun
