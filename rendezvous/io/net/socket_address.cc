#include "rendezvous/io/net/socket_address.h"

#include <net/if.h>
#include <netinet/in.h>

#include <cstring>

namespace ferrun {
namespace {

namespace ip = boost::asio::ip;

IpAddress from_v6(const uint8_t* bytes, uint32_t scope) {
  IpAddress address;
  address.v6 = true;
  std::memcpy(address.bytes.data(), bytes, 16);
  char name[IF_NAMESIZE];
  if (scope != 0 && is_link_local(address))
    address.zone = ::if_indextoname(scope, name) != nullptr ? name : std::to_string(scope);
  // Mapped IPv4 becomes IPv4, as everywhere.
  return parse_ip_address(to_string(address)).value_or(address);
}

}  // namespace

std::optional<IpAddress> ip_address_of(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    IpAddress v4;
    std::memcpy(v4.bytes.data(), &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
    return v4;
  }
  if (address.sa_family != AF_INET6) return std::nullopt;
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  return from_v6(v6.sin6_addr.s6_addr, v6.sin6_scope_id);
}

IpAddress ip_address_of(const ip::address& address) {
  if (address.is_v6()) {
    return from_v6(address.to_v6().to_bytes().data(), static_cast<uint32_t>(address.to_v6().scope_id()));
  }
  IpAddress v4;
  const ip::address_v4::bytes_type bytes = address.to_v4().to_bytes();
  std::memcpy(v4.bytes.data(), bytes.data(), bytes.size());
  return v4;
}

ip::tcp::endpoint endpoint_of(const IpAddress& address, uint16_t port) {
  if (!address.v6) {
    ip::address_v4::bytes_type bytes;
    std::memcpy(bytes.data(), address.bytes.data(), bytes.size());
    return {ip::address_v4(bytes), port};
  }
  ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), address.bytes.data(), bytes.size());
  uint32_t scope = 0;
  if (!address.zone.empty()) scope = ::if_nametoindex(address.zone.c_str());
  return {ip::address_v6(bytes, scope), port};
}

}  // namespace ferrun
