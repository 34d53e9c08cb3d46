#include "rendezvous/io/net/local_addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

IpAddress parsed(std::string_view text) { return parse_ip_address(text).value(); }

TEST(LocalAddresses, HoldLoopback) {
  EXPECT_EQ(interface_of(parsed("127.0.0.1"), local_addresses()), "lo");
  EXPECT_EQ(interface_of(parsed("127.9.9.9"), local_addresses()), "lo");
}

TEST(LocalAddresses, TellOwnAddressesFromOthers) {
  const std::vector<HostAddress> own = local_addresses();
  // 203.0.113.0/24 is for examples: nobody's.
  const std::vector<EndpointAddress> found =
      found_here({parsed("127.0.1.1"), parsed("203.0.113.5"), parsed("2001:db8::5")}, own);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_TRUE(found[0].here);
  EXPECT_EQ(found[0].interface, "lo");
  EXPECT_FALSE(found[1].here);
  EXPECT_FALSE(found[2].here);
  for (const HostAddress& address : own) EXPECT_TRUE(found_here({address.ip}, own)[0].here) << to_string(address.ip);
}

}  // namespace
}  // namespace ferrun
