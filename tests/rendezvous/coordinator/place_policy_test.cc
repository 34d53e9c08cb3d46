#include "rendezvous/coordinator/place_policy.h"

#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/some_members.h"

namespace ferrun {
namespace {

constexpr FlapLimits kPlaceFlaps{600s, 3, 10s, 600s};

class PlacePolicyTest : public ::testing::Test {
 protected:
  Member& join(uint64_t agent, std::optional<int> node_rank, const std::string& host) {
    Member& member = members.add(AgentId{agent});
    member.host = host;
    member.observed_address = "10.0.0." + std::to_string(agent);
    member.node_rank = node_rank;
    members.attach(member, members.open({agent, AgentId{agent}, member.observed_address}, kPartsStart));
    return member;
  }
  static Member candidate(uint64_t agent, int node_rank) {
    Member member;
    member.agent.value = agent;
    member.host = "late";
    member.node_rank = node_rank;
    return member;
  }

  Membership members{{5s, 250ms, 6s}};
  PlacePolicy fixed{kPlaceFlaps, 2, true};
};

TEST_F(PlacePolicyTest, RefusesARankThatDoesNotExistForGood) {
  for (const int rank : {-1, 2}) {
    const auto refusal = fixed.objection(candidate(9, rank), members, kPartsStart);
    ASSERT_TRUE(refusal);
    EXPECT_EQ(refusal->reason,
              "node rank " + std::to_string(rank) + " does not exist: there are 2 nodes, counted from 0");
    EXPECT_FALSE(refusal->try_again);
  }
  const PlacePolicy elastic(kPlaceFlaps, 2, false);
  EXPECT_FALSE(elastic.objection(candidate(9, 7), members, kPartsStart)) << "there ranks are given";
}

TEST_F(PlacePolicyTest, RefusesARankForAsLongAsItsHolderAnswers) {
  Member& holder = join(1, 0, "node0");
  fixed.admit(holder);
  EXPECT_FALSE(fixed.objection(holder, members, kPartsStart)) << "its own";
  EXPECT_FALSE(fixed.objection(candidate(9, 1), members, kPartsStart));
  const auto refusal = fixed.objection(candidate(9, 0), members, kPartsStart);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->reason, "node rank 0 is taken by node0 (10.0.0.1)");
  EXPECT_TRUE(refusal->try_again);
  members.give_up(holder);
  EXPECT_FALSE(fixed.objection(candidate(9, 0), members, kPartsStart)) << "silent";
  members.erase(holder);
  EXPECT_FALSE(fixed.objection(candidate(9, 0), members, kPartsStart)) << "gone";
}

TEST_F(PlacePolicyTest, LetsGoOfTheRankOfOneThatLeaves) {
  Member& holder = join(1, 0, "node0");
  fixed.admit(holder);
  members.say_goodbye(holder);
  EXPECT_FALSE(fixed.objection(candidate(9, 0), members, kPartsStart));
}

TEST_F(PlacePolicyTest, KeepsOutWhoWasLostAgainAndAgain) {
  const Member& node = join(1, std::nullopt, "node0");
  EXPECT_FALSE(fixed.note_loss(node, kPartsStart));
  EXPECT_FALSE(fixed.note_loss(node, kPartsStart));
  EXPECT_EQ(fixed.note_loss(node, kPartsStart), 10s);
  const auto refusal = fixed.objection(node, members, kPartsStart + 4s);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->reason, "node0 disturbed the job too often and is barred for 6 s");
  EXPECT_TRUE(refusal->try_again);
  EXPECT_EQ(refusal->after, 6s);
  EXPECT_FALSE(fixed.objection(node, members, kPartsStart + 10s));
  EXPECT_EQ(fixed.bar(node, kPartsStart + 10s), 20s) << "longer each time";
}

}  // namespace
}  // namespace ferrun
