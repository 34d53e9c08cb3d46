#include "rendezvous/job/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace ferrun {
namespace {

constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view p) { return text.starts_with(p); });
}

// fc00::/7, routed within a site at most.
bool is_unique_local(const IpAddress& address) { return address.v6 && (address.bytes[0] & 0xfe) == 0xfc; }

// The lower, the better.
int rank_of(const HostAddress& address, const AddressWish& wish) {
  const std::optional<IpAddress> wished = parse_ip_address(wish.local_addr);
  if (wished && without_zone(*wished) == without_zone(address.ip)) return 0;
  const int elsewhere = !wish.iface.empty() && address.interface != wish.iface ? 10 : 0;
  if (is_loopback(address.ip)) return 8 + elsewhere;
  if (is_inner_bridge(address.interface)) return 7 + elsewhere;
  if (is_link_local(address.ip)) return (address.ip.v6 ? 6 : 5) + elsewhere;
  if (is_unique_local(address.ip)) return 4 + elsewhere;
  return (address.ip.v6 ? 3 : 2) + elsewhere;
}

}  // namespace

std::optional<IpAddress> parse_ip_address(std::string_view text) {
  IpAddress address;
  if (::inet_pton(AF_INET, std::string(text).c_str(), address.bytes.data()) == 1) return address;
  address.v6 = true;
  const size_t percent = text.find('%');
  if (percent != std::string_view::npos) address.zone = text.substr(percent + 1);
  if (::inet_pton(AF_INET6, std::string(text.substr(0, percent)).c_str(), address.bytes.data()) != 1) return {};
  if (percent != std::string_view::npos && (address.zone.empty() || !is_link_local(address))) return {};
  if (std::equal(kMapped.begin(), kMapped.end(), address.bytes.begin())) {
    IpAddress inner;
    std::copy(address.bytes.begin() + kMapped.size(), address.bytes.end(), inner.bytes.begin());
    return inner;
  }
  return address;
}

std::string to_string(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(address.v6 ? AF_INET6 : AF_INET, address.bytes.data(), text, sizeof(text));
  return address.zone.empty() ? std::string(text) : text + ("%" + address.zone);
}

std::string to_string(const IpAddress& address, uint16_t port) {
  const std::string host = to_string(address);
  return (address.v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool is_loopback(const IpAddress& address) {
  if (!address.v6) return address.bytes[0] == 127;
  return std::all_of(address.bytes.begin(), address.bytes.end() - 1, [](uint8_t b) { return b == 0; }) &&
         address.bytes.back() == 1;
}

bool is_link_local(const IpAddress& address) {
  if (!address.v6) return address.bytes[0] == 169 && address.bytes[1] == 254;
  return address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

bool is_unspecified(const IpAddress& address) {
  return std::all_of(address.bytes.begin(), address.bytes.end(), [](uint8_t b) { return b == 0; });
}

IpAddress without_zone(IpAddress address) {
  address.zone.clear();
  return address;
}

bool is_inner_bridge(std::string_view interface) {
  return starts_with_any(interface, {"docker", "br-", "virbr", "vnet", "veth", "cni", "flannel", "cali", "cilium",
                                     "lxc", "lxdbr", "podman", "kube-", "nerdctl", "vmnet", "vboxnet"});
}

std::vector<HostAddress> in_preferred_order(std::vector<HostAddress> own, const AddressWish& wish) {
  const std::optional<IpAddress> wished = parse_ip_address(wish.local_addr);
  const auto is_wished = [&](const HostAddress& address) { return rank_of(address, wish) < 2; };
  // Behind a translation of addresses the one that others use is not one of this host's.
  if (wished && std::none_of(own.begin(), own.end(), is_wished)) own.push_back({*wished, ""});
  std::stable_sort(own.begin(), own.end(), [&](const HostAddress& a, const HostAddress& b) {
    return std::pair(rank_of(a, wish), a.ip) < std::pair(rank_of(b, wish), b.ip);
  });
  for (const auto of_no_use : {is_loopback, is_link_local}) {
    const auto drop = [&](const HostAddress& a) {
      return of_no_use(a.ip) && !is_wished(a) && a.interface != wish.iface;
    };
    if (!std::all_of(own.begin(), own.end(), drop)) std::erase_if(own, drop);
  }
  return own;
}

}  // namespace ferrun
