#include "rendezvous/coordinator/host_election.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

IpAddress own(std::string_view text) { return parse_ip_address(text).value(); }

const std::vector<HostAddress> kOwn = {
    {own("127.0.0.1"), "lo"}, {own("10.0.0.1"), "eth0"}, {own("192.168.0.1"), "eth1"}, {own("172.17.0.1"), "docker0"}};

// As the io layer finds the addresses on the host that has kOwn.
HostElection elected(const std::string& name, const std::vector<std::string>& addresses,
                     std::optional<bool> is_host = std::nullopt) {
  std::vector<EndpointAddress> found;
  for (const std::string& text : addresses) {
    EndpointAddress address{own(text), is_loopback(own(text)), is_loopback(own(text)) ? "lo" : ""};
    for (const HostAddress& own : kOwn) {
      if (own.ip == address.ip) address = {own.ip, true, own.interface};
    }
    found.push_back(address);
  }
  return elect_host({name, 29400}, found, kOwn, is_host);
}

std::vector<std::string> texts(const HostElection& election) {
  std::vector<std::string> list;
  for (const IpAddress& address : election.listen) list.push_back(to_string(address));
  return list;
}

TEST(HostElection, ElectsTheNodeThatHasTheAddress) {
  const HostElection election = elected("node0", {"10.0.0.1"});
  EXPECT_TRUE(election.hosts);
  EXPECT_FALSE(election.wildcard);
  EXPECT_THAT(texts(election), ElementsAre("10.0.0.1"));
  EXPECT_EQ(election.reason, "node0 (10.0.0.1) is this node");
}

TEST(HostElection, LeavesItToTheNodeThatHasTheAddress) {
  const HostElection election = elected("node1", {"10.0.0.2"});
  EXPECT_FALSE(election.hosts);
  EXPECT_THAT(texts(election), IsEmpty());
  EXPECT_EQ(election.reason, "node1 (10.0.0.2) is another node");
}

TEST(HostElection, ListensOnEveryAddressOfTheName) {
  EXPECT_THAT(texts(elected("node0", {"192.168.0.1", "10.0.0.1"})), ElementsAre("10.0.0.1", "192.168.0.1"));
}

TEST(HostElection, LetsTheLowestAddressDecideWhenTheNameHasSeveralHosts) {
  EXPECT_TRUE(elected("job", {"10.0.0.9", "10.0.0.1"}).hosts);
  EXPECT_TRUE(elected("job", {"2001:db8::1", "10.0.0.1"}).hosts);
  const HostElection other = elected("job", {"10.0.0.0", "10.0.0.1"});
  EXPECT_FALSE(other.hosts);
  EXPECT_THAT(other.reason, HasSubstr("the lowest one, 10.0.0.0, decides"));
}

TEST(HostElection, IgnoresAddressesThatManyHostsHave) {
  EXPECT_FALSE(elected("node1", {"172.17.0.1", "192.168.0.9"}).hosts);
  EXPECT_FALSE(elected("node1", {"127.0.1.1", "192.168.0.9"}).hosts);
  EXPECT_THAT(texts(elected("node0", {"172.17.0.1", "192.168.0.1"})), ElementsAre("192.168.0.1", "172.17.0.1"));
}

TEST(HostElection, TakesTheNameOfAHostThatKnowsItselfByLoopbackAlone) {
  EXPECT_THAT(texts(elected("node0", {"127.0.1.1"})),
              ElementsAre("127.0.1.1", "127.0.0.1", "10.0.0.1", "192.168.0.1", "172.17.0.1"));
}

TEST(HostElection, ListensOnLoopbackAloneForLocalhost) {
  EXPECT_THAT(texts(elected("localhost", {"127.0.0.1"})), ElementsAre("127.0.0.1"));
  EXPECT_THAT(texts(elected("127.0.0.1", {"127.0.0.1"})), ElementsAre("127.0.0.1"));
}

TEST(HostElection, FollowsTheUsersWord) {
  const HostElection forced = elected("gateway", {"203.0.113.5"}, true);
  EXPECT_TRUE(forced.hosts && forced.wildcard);
  EXPECT_FALSE(elected("node0", {"10.0.0.1"}, false).hosts);
}

TEST(HostElection, ElectsNobodyForANameWithoutAddresses) { EXPECT_FALSE(elected("node0", {}).hosts); }

}  // namespace
}  // namespace ferrun
