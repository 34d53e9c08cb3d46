// A numeric address as a value, and the addresses of this host as the io layer reads them. Pure.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferrun {

// Ordered: IPv4 first, then by number.
struct IpAddress {
  bool v6 = false;
  std::array<uint8_t, 16> bytes{};  // in network order; an IPv4 address has the first four
  std::string zone;                 // of a link-local IPv6 address: its interface
  auto operator<=>(const IpAddress&) const = default;
};

// "10.0.0.1", "2001:db8::1", "fe80::1%eth0". An IPv4 address within IPv6 ("::ffff:10.0.0.1") is the IPv4 address:
// what one socket calls the one, another calls the other. None for a name.
std::optional<IpAddress> parse_ip_address(std::string_view text);
std::string to_string(const IpAddress& address);

bool is_loopback(const IpAddress& address);
bool is_link_local(const IpAddress& address);
bool is_unspecified(const IpAddress& address);
// Without its zone: as another host sees it.
IpAddress without_zone(IpAddress address);

// "10.0.0.1:29400", "[fe80::1%eth0]:29400".
std::string to_string(const IpAddress& address, uint16_t port);

struct HostAddress {
  IpAddress ip;
  std::string interface;
  bool operator==(const HostAddress&) const = default;
};

// An interface that connects containers or virtual machines within one host. Its address is often the same on every
// host, and nothing outside reaches it.
bool is_inner_bridge(std::string_view interface);

// What the user said about it; empty: nothing.
struct AddressWish {
  std::string local_addr;
  std::string iface;
};

// By which other nodes may reach this one, the preferred one first: what the user wished for, then global IPv4, global
// IPv6, unique local IPv6, inner bridges. Link-local and loopback addresses only as wished or where there is nothing
// better: to another host they mean something else.
std::vector<HostAddress> in_preferred_order(std::vector<HostAddress> own, const AddressWish& wish);

}  // namespace ferrun
