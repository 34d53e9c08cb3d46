// What the coordinator takes for the time that a node's messages travel, as the order of failures shows it.
#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/coordinator_story.h"

namespace ferrun {
namespace {

using Phase = CoordinatorMachine::Phase;

constexpr Duration kRoundTrip = 100ms;

class CoordinatorRoundTrip : public ::testing::Test {
 protected:
  void join(const std::string& name) {
    story_.node(name).answers = false;
    story_.join(name);
  }
  // Every node answers after the round trip.
  void prepare(const std::vector<std::string>& names) {
    ASSERT_EQ(story_.phase(), Phase::kPreparing);
    const RoundId round = story_.round();
    story_.wait(kRoundTrip);
    for (const std::string& name : names) story_.say(name, Prepared{round, story_.node(name).join.addresses, 4711});
    story_.wait(kRoundTrip);
    for (const std::string& name : names) story_.say(name, StoreReached{round, "10.0.0.1"});
    ASSERT_EQ(story_.phase(), Phase::kRunning);
  }
  void fail(const std::string& name, int status) {
    story_.say(name, NodeFailed{story_.round(), {CoordinatorStory::failure(name, FailureKind::kExit, status)}});
  }
  void answer_stop(const std::vector<std::string>& names) {
    const RoundId round = story_.round();
    for (const std::string& name : names) {
      story_.say(name, StopAcknowledged{round, {}});
      story_.say(name, NodeReaped{round});
    }
  }

  CoordinatorStory story_{CoordinatorStory::elastic(2, 3)};
};

// Half a round trip later is no later as far as can be told: then the lower rank is the cause.
TEST_F(CoordinatorRoundTrip, MakesFailuresWithinItATie) {
  for (const char* name : {"node0", "node1", "node2"}) join(name);
  prepare({"node0", "node1", "node2"});
  fail("node1", 3);
  story_.wait(kRoundTrip / 2);
  fail("node0", 7);
  answer_stop({"node0", "node1", "node2"});
  EXPECT_EQ(story_.last<Close>("node2").end.exit_status, 7);
}

// The answer to the first order comes soon after the second, and says nothing about the way.
TEST_F(CoordinatorRoundTrip, IsMeasuredFromTheFirstOrderToStopThatANodeAnswers) {
  join("node0");
  join("node1");
  story_.wait(story_.config.last_call);
  prepare({"node0", "node1"});
  story_.wait(story_.config.scale_interval);
  join("node2");
  ASSERT_EQ(story_.last<Stop>("node0").kind, StopKind::kMembership);
  story_.wait(kRoundTrip - 1ms);
  story_.kill("node1");
  ASSERT_EQ(story_.last<Stop>("node0").kind, StopKind::kLoss);
  story_.wait(1ms);
  answer_stop({"node0"});
  story_.wait(story_.config.last_call);
  prepare({"node0", "node2"});
  fail("node2", 3);
  story_.wait(kRoundTrip / 2);
  fail("node0", 7);
  answer_stop({"node0", "node2"});
  EXPECT_EQ(story_.last<Close>("node2").end.exit_status, 7);
}

}  // namespace
}  // namespace ferrun
