#include "launcher/hosts/named_hosts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/printable_text.h"

namespace ferrun {

void PrintTo(const HostEntry& entry, std::ostream* out) {
  *out << entry.name << ":" << (entry.slots ? std::to_string(*entry.slots) : "");
}

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refusal(const Result<std::vector<HostEntry>>& parsed) { return parsed ? "taken" : parsed.error().message; }

TEST(HostList, TakesNamesSlotsUsersAndSlurmsRanges) {
  EXPECT_THAT(parse_hosts("node0").value(), ElementsAre(HostEntry{"node0", std::nullopt}));
  EXPECT_THAT(parse_hosts("node0,me@node1:4,10.0.0.7,fe80::1").value(),
              ElementsAre(HostEntry{"node0", std::nullopt}, HostEntry{"me@node1", 4},
                          HostEntry{"10.0.0.7", std::nullopt}, HostEntry{"fe80::1", std::nullopt}));
  EXPECT_THAT(
      parse_hosts("gpu[08-10,12],login").value(),
      ElementsAre(HostEntry{"gpu08", std::nullopt}, HostEntry{"gpu09", std::nullopt}, HostEntry{"gpu10", std::nullopt},
                  HostEntry{"gpu12", std::nullopt}, HostEntry{"login", std::nullopt}));
}

TEST(HostList, RefusesWhatIsNoHost) {
  EXPECT_THAT(refusal(parse_hosts("node0,,node1")), HasSubstr("'' is no name of a host"));
  EXPECT_THAT(refusal(parse_hosts("-oProxyCommand=reboot")), HasSubstr("is no name of a host")) << "an option of ssh's";
  EXPECT_THAT(refusal(parse_hosts("node 0")), HasSubstr("is no name of a host"));
  EXPECT_THAT(refusal(parse_hosts("node0:none")), HasSubstr("the slots of node0, 'none', are no whole number"));
  EXPECT_THAT(refusal(parse_hosts("node0:0")), HasSubstr("the slots of node0"));
  EXPECT_THAT(refusal(parse_hosts("node0,node0")), HasSubstr("node0 is named twice"));
  EXPECT_THAT(refusal(parse_hosts("gpu[1-")), HasSubstr("bracket"));
}

TEST(HostFile, IsReadAsMpisLaunchersReadIt) {
  EXPECT_THAT(
      parse_host_file("# cluster\nnode0 slots=4\n\n  node1:2  # MPICH\r\nnode2 slots=8 max_slots=16\nnode3").value(),
      ElementsAre(HostEntry{"node0", 4}, HostEntry{"node1", 2}, HostEntry{"node2", 8},
                  HostEntry{"node3", std::nullopt}));
}

TEST(HostFile, NamesTheLineThatIsWrong) {
  EXPECT_THAT(refusal(parse_host_file("node0\nnode1 four\n")), HasSubstr("line 2: 'four' is not understood; slots=N"));
  EXPECT_THAT(refusal(parse_host_file("node0 slots=x")), HasSubstr("line 1: the slots of node0"));
  EXPECT_THAT(refusal(parse_host_file("# nobody\n")), HasSubstr("no host is named"));
}

}  // namespace
}  // namespace ferrun
