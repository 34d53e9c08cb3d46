// Between the rendezvous' own addresses, the kernel's and Asio's.
#pragma once

#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <optional>

#include "rendezvous/job/ip_address.h"

namespace ferrun {

// None for another family.
std::optional<IpAddress> ip_address_of(const sockaddr& address);
IpAddress ip_address_of(const boost::asio::ip::address& address);
// With the zone's number on this host; an unknown zone is left out.
boost::asio::ip::tcp::endpoint endpoint_of(const IpAddress& address, uint16_t port);

}  // namespace ferrun
