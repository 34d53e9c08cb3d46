#include "launcher/io/node/meeting_check.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <string>
#include <vector>

namespace ferrun {
namespace {

HostAddress loopback() { return {*parse_ip_address("127.0.0.1"), "lo"}; }
NameAnswer answer(const std::vector<std::string>& addresses) {
  NameAnswer answer;
  for (const std::string& address : addresses) answer.addresses.push_back(*parse_ip_address(address));
  return answer;
}

TEST(MeetingCheckTest, AnAddressOfThisMachineIsFine) {
  EXPECT_EQ(problem_with_meeting("localhost", answer({"127.0.0.1"}), {loopback()}), "");
  EXPECT_EQ(problem_with_meeting("me", answer({"127.0.1.1"}), {loopback()}), "");
  EXPECT_EQ(problem_with_meeting("me", answer({"192.0.2.1", "127.0.0.1"}), {loopback()}), "");
  EXPECT_EQ(problem_with_meeting("0.0.0.0", answer({"0.0.0.0"}), {loopback()}), "");
}

TEST(MeetingCheckTest, WhereTheKernelDoesNotTellItsAddressesNothingIsSaid) {
  EXPECT_EQ(problem_with_meeting("node0", answer({"192.0.2.1"}), {}), "");
}

TEST(MeetingCheckTest, AnUnknownNameIsTold) {
  EXPECT_EQ(
      problem_with_meeting("node0", {{}, "Name or service not known"}, {loopback()}),
      "the workers are sent to node0 (--master-addr or --local-addr), which has no address: Name or service not known");
}

TEST(MeetingCheckTest, AnotherMachineIsTold) {
  EXPECT_EQ(
      problem_with_meeting("node0", answer({"192.0.2.1"}), {loopback()}),
      "the workers are sent to node0 (192.0.2.1), which is not this machine, where their store is: --nnodes is for a "
      "job with several nodes");
}

TEST(MeetingCheckTest, ALoopbackThatIsDownIsTold) {
  EXPECT_EQ(
      problem_with_meeting("127.0.0.1", answer({"127.0.0.1"}), {{*parse_ip_address("192.0.2.1"), "eth0"}}),
      "the workers are sent to 127.0.0.1, but the loopback interface of this machine is down (ip link set lo up)");
}

TEST(MeetingCheckTest, WarnsOnceFromTheLoop) {
  boost::asio::io_context io;
  std::vector<std::string> warnings;
  MeetingCheck check(io, "192.0.2.1", [&](const std::string& line) { warnings.push_back(line); });
  EXPECT_TRUE(warnings.empty());
  io.run_for(std::chrono::seconds(180));  // ends when nothing is waited for
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0].rfind("the workers are sent to 192.0.2.1, which is not this machine", 0), 0u) << warnings[0];
}

// Under .invalid there are no names.
TEST(MeetingCheckTest, AnUnknownNameIsAskedForAgainBeforeAWarning) {
  boost::asio::io_context io;
  std::vector<std::string> warnings;
  const auto began = std::chrono::steady_clock::now();
  MeetingCheck check(
      io, "no-such-host.invalid", [&](const std::string& line) { warnings.push_back(line); },
      std::chrono::milliseconds(150));
  io.run_for(std::chrono::seconds(180));
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(150));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(
      warnings[0].rfind(
          "the workers are sent to no-such-host.invalid (--master-addr or --local-addr), which has no address: ", 0),
      0u)
      << warnings[0];
}

}  // namespace
}  // namespace ferrun
