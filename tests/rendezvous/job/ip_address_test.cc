#include "rendezvous/job/ip_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

using ::testing::ElementsAre;

IpAddress parsed(std::string_view text) {
  const std::optional<IpAddress> address = parse_ip_address(text);
  EXPECT_TRUE(address) << text;
  return address.value_or(IpAddress{});
}

std::vector<std::string> order(std::vector<HostAddress> own, const AddressWish& wish = {}) {
  std::vector<std::string> texts;
  for (const HostAddress& address : in_preferred_order(std::move(own), wish)) texts.push_back(to_string(address.ip));
  return texts;
}

const std::vector<HostAddress> kHost = {{parsed("127.0.0.1"), "lo"},      {parsed("::1"), "lo"},
                                        {parsed("fe80::1%eth0"), "eth0"}, {parsed("172.17.0.1"), "docker0"},
                                        {parsed("2001:db8::7"), "eth0"},  {parsed("fd00::7"), "eth0"},
                                        {parsed("192.168.1.7"), "eth1"},  {parsed("10.0.0.7"), "eth0"}};

TEST(IpAddress, IsReadAndWrittenInTheUsualForms) {
  for (const std::string text : {"10.0.0.1", "0.0.0.0", "2001:db8::1", "::", "::1", "fe80::1%eth0"})
    EXPECT_EQ(to_string(parsed(text)), text);
  EXPECT_EQ(to_string(parsed("10.0.0.1"), 80), "10.0.0.1:80");
  EXPECT_EQ(to_string(parsed("fe80::1%eth0"), 80), "[fe80::1%eth0]:80");
}

TEST(IpAddress, IsNotANameOrHalfAnAddress) {
  for (const std::string text : {"", "node0", "10.0.0", "10.0.0.1:80", "[::1]", "::1%lo", "fe80::1%", "10.0.0.1 "})
    EXPECT_FALSE(parse_ip_address(text)) << text;
}

TEST(IpAddress, WithinIpv6IsTheIpv4AddressItself) { EXPECT_EQ(parsed("::ffff:10.0.0.1"), parsed("10.0.0.1")); }

TEST(IpAddress, KnowsWhatMeansSomethingElseToAnotherHost) {
  EXPECT_TRUE(is_loopback(parsed("127.0.1.1")) && is_loopback(parsed("::1")));
  EXPECT_FALSE(is_loopback(parsed("128.0.0.1")) || is_loopback(parsed("::2")) || is_loopback(parsed("2001::1")));
  EXPECT_TRUE(is_link_local(parsed("169.254.3.4")) && is_link_local(parsed("fe80::1")) &&
              is_link_local(parsed("febf::1")));
  EXPECT_FALSE(is_link_local(parsed("fec0::1")) || is_link_local(parsed("169.255.0.1")));
}

TEST(PreferredOrder, PutsGlobalAddressesFirstAndInnerBridgesLast) {
  EXPECT_THAT(order(kHost), ElementsAre("10.0.0.7", "192.168.1.7", "2001:db8::7", "fd00::7", "172.17.0.1"));
}

TEST(PreferredOrder, PutsTheWishedInterfaceFirst) {
  EXPECT_EQ(order(kHost, {"", "eth1"}).front(), "192.168.1.7");
  EXPECT_EQ(order(kHost, {"", "docker0"}).front(), "172.17.0.1");
  EXPECT_EQ(order(kHost, {"", "lo"}).front(), "127.0.0.1");
}

TEST(PreferredOrder, PutsTheWishedAddressFirstEvenIfItIsAnotherHosts) {
  EXPECT_EQ(order(kHost, {"2001:db8::7", ""}).front(), "2001:db8::7");
  EXPECT_EQ(order(kHost, {"203.0.113.5", "eth1"}).front(), "203.0.113.5");
  EXPECT_EQ(order(kHost, {"127.0.0.1", ""}).front(), "127.0.0.1");
}

TEST(PreferredOrder, KeepsLoopbackWhereThereIsNothingElse) {
  EXPECT_THAT(order({{parsed("::1"), "lo"}, {parsed("127.0.0.1"), "lo"}}), ElementsAre("127.0.0.1", "::1"));
  EXPECT_THAT(order({{parsed("127.0.0.1"), "lo"}, {parsed("fe80::1%eth0"), "eth0"}}), ElementsAre("fe80::1%eth0"));
}

}  // namespace
}  // namespace ferrun
