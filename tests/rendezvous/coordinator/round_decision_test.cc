#include "rendezvous/coordinator/round_decision.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kJudged{1000s};

NodeGroup group(size_t count, std::vector<std::string> names = {}) { return {count, std::move(names)}; }

Gathering gathering(int least, int most, size_t ready) {
  Gathering nodes;
  nodes.min_nodes = least;
  nodes.max_nodes = most;
  nodes.ready = group(ready, {"node0", "node1"});
  return nodes;
}

void expect_wait(const Gathering& nodes, const std::string& why, std::optional<TimePoint> until = std::nullopt) {
  const RoundDecision decision = decide_round(nodes, kJudged);
  EXPECT_FALSE(decision.form);
  EXPECT_EQ(decision.why, why);
  EXPECT_EQ(decision.until, until);
}

void expect_form(const Gathering& nodes, const std::string& why) {
  const RoundDecision decision = decide_round(nodes, kJudged);
  EXPECT_TRUE(decision.form);
  EXPECT_EQ(decision.why, why);
}

TEST(RoundDecision, WaitsForTheNodesOfAFixedSize) {
  Gathering nodes = gathering(4, 4, 2);
  expect_wait(nodes, "waiting for 2 of 4 nodes; here: node0 and node1");
  nodes.absent = {"node3 was lost (its connection ended)"};
  expect_wait(nodes, "waiting for 2 of 4 nodes: node3 was lost (its connection ended); here: node0 and node1");
}

TEST(RoundDecision, WaitsForTheLeastNodesOfAnElasticJob) {
  Gathering nodes = gathering(2, 4, 0);
  nodes.ready = {};
  expect_wait(nodes, "waiting for 2 of at least 2 nodes");
}

TEST(RoundDecision, FormsAtOnceWhenAllAreThere) {
  expect_form(gathering(2, 2, 2), "all 2 nodes are there");
  expect_form(gathering(1, 2, 3), "all 2 nodes are there");
}

TEST(RoundDecision, HoldsALastCallWhenEnoughButNotAllAreThere) {
  Gathering nodes = gathering(2, 4, 2);
  expect_wait(nodes, "last call for up to 2 more nodes");
  nodes.last_call_end = kJudged + 12s;
  expect_wait(nodes, "last call: 12 s left for up to 2 more nodes", kJudged + 12s);
  nodes.ready.count = 3;
  expect_wait(nodes, "last call: 12 s left for 1 more node", kJudged + 12s);
  nodes.last_call_end = kJudged;
  expect_form(nodes, "the last call is over: 3 nodes");
}

TEST(RoundDecision, NeedsNoLastCallWhenEverybodyLeftOfTheLastRoundIsThere) {
  Gathering nodes = gathering(2, 4, 2);
  nodes.veterans = 1;
  expect_form(nodes, "everybody who is left of the last round is there: 2 nodes");
  nodes.returning = group(1, {"node2"});
  expect_wait(nodes, "waiting a moment for node2, whose connection broke, to come back");
}

TEST(RoundDecision, FormsNothingWhileOldWorkersAreStopping) {
  Gathering nodes = gathering(2, 2, 2);
  nodes.stopping = group(5, {"node2", "node3", "node4"});
  expect_wait(nodes, "waiting until node2, node3, node4 and 2 more have stopped the workers of the last round");
}

TEST(RoundDecision, FormsNothingBeforeALeaseIsOver) {
  Gathering nodes = gathering(2, 2, 2);
  nodes.fenced = group(1, {"node3"});
  nodes.fences_end = kJudged + 1200ms;
  expect_wait(nodes, "waiting until the lease of node3 is over (1.2 s)", kJudged + 1200ms);
  nodes.fences_end = kJudged;
  expect_form(nodes, "all 2 nodes are there");
}

TEST(RoundDecision, FormsNothingWhileANewCoordinatorLooksForOldRounds) {
  Gathering nodes = gathering(2, 2, 2);
  nodes.recovery = "waiting for them";
  nodes.recovery_end = kJudged + 4s;
  expect_wait(nodes, "waiting for them (4 s)", kJudged + 4s);
}

TEST(RoundDecision, WaitsAMomentAfterAGoodbyeBySignal) {
  Gathering nodes = gathering(2, 2, 2);
  nodes.settle = "node2 leaves (SIGTERM)";
  nodes.settle_end = kJudged + 250ms;
  expect_wait(nodes, "node2 leaves (SIGTERM): waiting a moment for others that leave too", kJudged + 250ms);
}

TEST(RoundDecision, IsHeldBackAfterAFailureWhateverNodesThereAre) {
  Gathering nodes = gathering(2, 2, 2);
  nodes.held_until = kJudged + 1500ms;
  expect_wait(nodes, "the next attempt begins in 1.5 s (--restart-delay)", nodes.held_until);
  nodes.held_until = kJudged;
  expect_form(nodes, "all 2 nodes are there");
  nodes = gathering(4, 4, 2);
  nodes.held_until = kJudged + 1500ms;
  expect_wait(nodes, "waiting for 2 of 4 nodes; here: node0 and node1");
}

}  // namespace
}  // namespace ferrun
