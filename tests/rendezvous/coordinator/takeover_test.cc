#include "rendezvous/coordinator/takeover.h"

#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/some_members.h"

namespace ferrun {
namespace {

constexpr RoundId kOldRound{2, 7};
constexpr TimePoint kLeasesEnd = kPartsStart + 6s;

MemberPast past_of(int node_rank, int node_count = 3, RoundId round = kOldRound) {
  MemberPast past;
  past.round = round;
  past.assignment.node_rank = node_rank;
  past.assignment.node_count = node_count;
  return past;
}

TEST(Takeover, IsCompleteWhenEverybodyIsBack) {
  Takeover takeover(kOldRound, 2, kLeasesEnd);
  EXPECT_EQ(takeover.step(kPartsStart), Takeover::Step::kWait);
  EXPECT_EQ(takeover.comes_back(AgentId{1}, past_of(1, 2)), 1);
  EXPECT_EQ(takeover.comes_back(AgentId{2}, past_of(0, 2)), 0);
  EXPECT_EQ(takeover.step(kPartsStart), Takeover::Step::kComplete);
  EXPECT_EQ(takeover.step(kLeasesEnd), Takeover::Step::kComplete);
}

TEST(Takeover, IsOverWhenTheLeasesAre) {
  const Takeover takeover(kOldRound, 2, kLeasesEnd);
  EXPECT_EQ(takeover.step(kLeasesEnd - 1ns), Takeover::Step::kWait);
  EXPECT_EQ(takeover.step(kLeasesEnd), Takeover::Step::kOver);
}

TEST(Takeover, BelievesMembersWhereNoStateWasSaved) {
  Takeover takeover(kOldRound, 3, kLeasesEnd);
  EXPECT_FALSE(takeover.comes_back(AgentId{1}, past_of(0, 3, {2, 6}))) << "of another round";
  EXPECT_FALSE(takeover.comes_back(AgentId{1}, past_of(0, 4))) << "of another size";
  EXPECT_FALSE(takeover.comes_back(AgentId{1}, past_of(3))) << "no rank of that round";
  EXPECT_FALSE(takeover.comes_back(AgentId{1}, past_of(-1)));
  EXPECT_EQ(takeover.comes_back(AgentId{1}, past_of(2)), 2);
  EXPECT_FALSE(takeover.comes_back(AgentId{2}, past_of(2))) << "it is taken";
}

TEST(Takeover, BelievesTheSavedStateBeforeMembers) {
  Takeover takeover(kOldRound, 3, kLeasesEnd);
  takeover.expect(AgentId{1}, 2, "node1");
  takeover.expect(AgentId{9}, 3, "node9");
  EXPECT_EQ(takeover.absent(), "node of rank 0, node of rank 1 and node1");
  EXPECT_FALSE(takeover.comes_back(AgentId{2}, past_of(0))) << "it is not in the saved state";
  EXPECT_FALSE(takeover.comes_back(AgentId{9}, past_of(0))) << "and this one's rank does not exist";
  EXPECT_EQ(takeover.comes_back(AgentId{1}, past_of(0)), 2);
}

TEST(Takeover, OfWhichNothingIsKnownWaitsForTheLeases) {
  Takeover takeover(kLeasesEnd);
  EXPECT_FALSE(takeover.comes_back(AgentId{1}, past_of(0)));
  EXPECT_EQ(takeover.step(kPartsStart), Takeover::Step::kWait);
  EXPECT_EQ(takeover.step(kLeasesEnd), Takeover::Step::kOver);
  EXPECT_EQ(takeover.words(),
            "a new coordinator knows nothing of the rounds of an earlier one: waiting for their leases to end");
}

TEST(Takeover, SaysForWhomItWaits) {
  Takeover takeover(kOldRound, 3, kLeasesEnd);
  takeover.expect(AgentId{1}, 0, "node0");
  takeover.comes_back(AgentId{1}, past_of(0));
  EXPECT_EQ(
      takeover.words(),
      "a new coordinator has taken over: waiting for 2 of 3 nodes of round 2.7 to come back, or for their leases to "
      "end: node of rank 1 and node of rank 2");
  EXPECT_EQ(Takeover(kOldRound, 0, kLeasesEnd).words(),
            "a new coordinator has taken over: waiting for the nodes of round 2.7 to come back, or for their leases to "
            "end");
}

TEST(Takeover, WaitsForNoLeaseOfNodesOfWhichNothingIsLeft) {
  Takeover takeover(kOldRound, 3, kLeasesEnd);
  takeover.expect(AgentId{1}, 0, "node0", kPartsStart);
  takeover.expect(AgentId{2}, 1, "node1", kPartsStart + 1s);
  takeover.expect(AgentId{3}, 2, "node2");
  EXPECT_EQ(takeover.until(), kLeasesEnd) << "nothing is known of node2";
  EXPECT_EQ(takeover.comes_back(AgentId{3}, past_of(2)), 2);
  EXPECT_EQ(takeover.until(), kPartsStart + 1s);
  EXPECT_EQ(takeover.step(kPartsStart + 1s - 1ns), Takeover::Step::kWait);
  EXPECT_EQ(takeover.step(kPartsStart + 1s), Takeover::Step::kOver) << "without the two";
}

TEST(Takeover, IsOverAtOnceWhereAllNodesAreKnownToBeGone) {
  Takeover takeover(kOldRound, 2, kLeasesEnd);
  takeover.expect(AgentId{1}, 0, "node0", kPartsStart);
  EXPECT_EQ(takeover.step(kPartsStart), Takeover::Step::kWait) << "the state does not say who the other one is";
  takeover.expect(AgentId{2}, 1, "node1", kPartsStart);
  EXPECT_EQ(takeover.step(kPartsStart), Takeover::Step::kOver);
}

}  // namespace
}  // namespace ferrun
