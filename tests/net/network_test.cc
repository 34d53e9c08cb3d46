// The tests' network itself: hosts reach each other by name, and each fault does what it says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/net/host_program.h"
#include "tests/net/test_network.h"

namespace ferrun::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class Network : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string problem = network_problem(); !problem.empty()) GTEST_SKIP() << problem;
  }
};

// bash's /dev/tcp: connects, and says how it went. A closed port answers at once, a lost packet never.
std::string reach(const TestNetwork& network, int from, const std::string& to) {
  HostProgram probe(network, from,
                    {"/bin/bash", "-c", "timeout 1 bash -c 'exec 3<>/dev/tcp/" + to + "/9' 2>&1; echo status $?"}, "/");
  probe.wait();
  const std::string said = probe.output();
  return said.find("refused") != std::string::npos ? "answers" : "silent";
}

// A healed link answers as soon as the kernel asks again for the neighbour's address.
bool answers_again(const TestNetwork& network, int from, const std::string& to) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    if (reach(network, from, to) == "answers") return true;
  }
  return false;
}

TEST_F(Network, HostsHaveNamesAndReachEachOther) {
  const TestNetwork network(3);
  HostProgram hostname(network, 1, {"/bin/hostname"}, "/");
  EXPECT_TRUE(hostname.wait().success());
  EXPECT_EQ(hostname.output(), "node1\n");
  EXPECT_EQ(reach(network, 0, "node2"), "answers");
}

TEST_F(Network, ACutHostIsSilentUntilHealed) {
  TestNetwork network(3);
  network.cut(1);
  EXPECT_EQ(reach(network, 0, "node1"), "silent");
  EXPECT_EQ(reach(network, 0, "node2"), "answers");
  network.heal(1);
  EXPECT_TRUE(answers_again(network, 0, "node1"));
}

TEST_F(Network, ABlackHoleAndPartedHostsAreSilent) {
  TestNetwork network(3);
  network.black_hole(1);
  EXPECT_EQ(reach(network, 0, "node1"), "silent");
  network.heal(1);
  network.part(0, 2);
  EXPECT_EQ(reach(network, 0, "node2"), "silent");
  EXPECT_EQ(reach(network, 1, "node2"), "answers");
}

TEST_F(Network, ARelayDelaysEveryPacket) {
  if (const std::string problem = relay_problem(); !problem.empty()) GTEST_SKIP() << problem;
  const RelayOptions slow{20ms, 0us, 0, 1};
  const TestNetwork network(2, slow);
  HostProgram timed(
      network, 0,
      {"/bin/bash", "-c",
       "s=${EPOCHREALTIME/./}; exec 2>/dev/null; true 3<>/dev/tcp/node1/9; e=${EPOCHREALTIME/./}; echo $((e - s))"},
      "/");
  timed.wait();
  EXPECT_GE(std::stol("0" + timed.output()), 40000);  // there and back
}

}  // namespace
}  // namespace ferrun::testing
