#include "launcher/hosts/hosts_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <random>

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Hosts {
 public:
  explicit Hosts(size_t count, size_t least = 0) : machine_({named(count), least == 0 ? count : least}) {}

  Hosts& answered(size_t host) { return step(HostAnswered{host}); }
  Hosts& ended(size_t host, int code, const std::string& words = "") {
    return step(HostEnded{host, ExitStatus::exited(code), words});
  }
  Hosts& stop(int signal) { return step(StopAsked{signal}); }

  // "host 1: SIGTERM", "hang up on 2", "warning: …", "error: …", "done 3"
  std::vector<std::string> told() { return std::exchange(told_, {}); }

 private:
  static std::vector<HostsMachine::Host> named(size_t count) {
    std::vector<HostsMachine::Host> hosts;
    for (size_t i = 0; i < count; ++i) hosts.push_back({"node" + std::to_string(i), true});
    return hosts;
  }

  Hosts& step(const HostsEvent& event) {
    machine_.step(event);
    for (const HostsEffect& effect : machine_.take_effects())
      std::visit([this](const auto& each) { note(each); }, effect);
    return *this;
  }
  void note(const SignalHost& each) {
    told_.push_back("host " + std::to_string(each.host) + ": " + signal_name(each.signal));
  }
  void note(const HangUpOnHost& each) { told_.push_back("hang up on " + std::to_string(each.host)); }
  void note(const SayOfHosts& each) { told_.push_back((each.is_error ? "error: " : "warning: ") + each.line); }
  void note(const HostsDone& each) { told_.push_back("done " + std::to_string(each.exit_status)); }

  HostsMachine machine_;
  std::vector<std::string> told_;
};

TEST(HostsMachine, EndsAsTheAgentThatFailsFirst) {
  EXPECT_THAT(Hosts(2).answered(0).answered(1).ended(1, 0).ended(0, 0).told(), ElementsAre("done 0"));
  EXPECT_THAT(Hosts(2).answered(0).answered(1).ended(1, 7).ended(0, 9).told(), ElementsAre("done 7"));
  EXPECT_THAT(Hosts(2).answered(0).answered(1).ended(1, 0).ended(0, 9).told(), ElementsAre("done 9"));
}

TEST(HostsMachine, AHostThatCannotBeReachedEndsAJobThatNeedsIt) {
  Hosts hosts(3);
  hosts.answered(0).ended(1, 255, "ssh: connect to host node1 port 22: Connection refused");
  EXPECT_THAT(
      hosts.told(),
      ElementsAre("error: node1 cannot be reached: ssh: connect to host node1 port 22: Connection refused; 2 of the "
                  "3 hosts that the job needs are left, so it ends (--nnodes=MIN:MAX goes on with fewer)",
                  "host 0: SIGTERM", "hang up on 2"));
  hosts.answered(2);
  EXPECT_THAT(hosts.told(), ElementsAre("host 2: SIGTERM")) << "its answer was on the way";
  EXPECT_THAT(hosts.ended(2, 143).ended(0, 143).told(), ElementsAre("done 75"));
}

TEST(HostsMachine, AnElasticJobGoesOnWithoutIt) {
  Hosts hosts(3, 2);
  EXPECT_THAT(hosts.answered(0).answered(1).ended(2, 127).told(),
              ElementsAre("warning: node2 has no ferrun, neither where this one lies nor in its PATH; the job goes on "
                          "without it"));
  EXPECT_THAT(hosts.ended(0, 0).ended(1, 0).told(), ElementsAre("done 0"));
}

TEST(HostsMachine, WithoutTheHostWhereTheNodesMeetThereIsNoJob) {
  EXPECT_THAT(
      Hosts(2, 1).answered(1).ended(0, 1).told(),
      ElementsAre("error: node0: ferrun could not be started there, exited with code 1; the nodes meet there, so "
                  "the job ends",
                  "host 1: SIGTERM"));
}

TEST(HostsMachine, ALostConnectionIsNoEndOfTheJob) {
  Hosts hosts(2, 1);
  hosts.answered(0).answered(1).ended(1, 255, "client_loop: send disconnect: Broken pipe");
  EXPECT_THAT(hosts.told(),
              ElementsAre("warning: lost the connection to node1, where everything is stopped: client_loop: "
                          "send disconnect: Broken pipe"));
  EXPECT_THAT(hosts.ended(0, 0).told(), ElementsAre("done 0"));
  EXPECT_THAT(Hosts(1).answered(0).ended(0, 255).told().back(), "done 75");
}

TEST(HostsMachine, SignalsReachAllThatAnsweredAndTheOthersAreHungUpOn) {
  Hosts hosts(3);
  EXPECT_THAT(hosts.answered(1).stop(SIGINT).told(), ElementsAre("hang up on 0", "host 1: SIGINT", "hang up on 2"));
  EXPECT_THAT(hosts.stop(SIGINT).told(), ElementsAre("hang up on 0", "host 1: SIGINT", "hang up on 2")) << "again";
  EXPECT_THAT(hosts.ended(0, 255).ended(2, 143).told(), IsEmpty());
  EXPECT_THAT(hosts.ended(1, 130).told(), ElementsAre("done 130"));
  EXPECT_THAT(Hosts(1).stop(SIGTERM).ended(0, 255).told().back(), "done 143");
}

// Whatever happens in whatever order, the machine ends once, and only when all hosts have.
TEST(HostsMachine, EndsOnceAndNotBeforeTheLastHost) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](size_t below) { return std::uniform_int_distribution<size_t>(0, below - 1)(random); };
    const size_t count = 1 + pick(4);
    Hosts hosts(count, 1 + pick(count));
    std::vector<bool> over(count, false);
    size_t left = count, done = 0;
    for (int i = 0; i < 200; ++i) {
      const size_t host = pick(count);
      switch (pick(8)) {
        case 0: hosts.stop(SIGTERM); break;
        case 1:
          hosts.ended(host, std::array{0, 1, 127, 143, 255}[pick(5)]);
          if (!over[host]) --left;
          over[host] = true;
          break;
        default: hosts.answered(host);
      }
      for (const std::string& line : hosts.told()) done += line.starts_with("done") ? 1 : 0;
      ASSERT_EQ(done, left == 0 ? 1U : 0U) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace ferrun
