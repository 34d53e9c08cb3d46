#include "rendezvous/coordinator/rank_assignment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ferrun {
namespace {

using ::testing::ElementsAre;

RankCandidate node(const std::string& host, std::optional<int> previous = std::nullopt) {
  static uint64_t joined = 0;
  RankCandidate made;
  made.host = host;
  made.previous = previous;
  made.role = "default";
  made.joined = ++joined;
  return made;
}

RankCandidate wishing(const std::string& host, int rank) {
  RankCandidate made = node(host);
  made.wished = rank;
  return made;
}

std::vector<std::string> hosts(const std::vector<RankCandidate>& candidates, bool exact = false) {
  std::vector<std::string> names;
  for (const size_t at : assign_ranks(candidates, exact)) names.push_back(candidates[at].host);
  return names;
}

TEST(RankAssignment, OrdersTheFirstGroupByHostNameAsPeopleCount) {
  EXPECT_THAT(hosts({node("node10"), node("node2"), node("node1")}), ElementsAre("node1", "node2", "node10"));
}

TEST(RankAssignment, OrdersAgentsOfOneHostByTheirArrival) {
  const std::vector<RankCandidate> candidates = {node("here"), node("here"), node("here")};
  EXPECT_THAT(assign_ranks(candidates, false), ElementsAre(0, 1, 2));
}

TEST(RankAssignment, PrefersTheCoordinatorsHostForRankZero) {
  std::vector<RankCandidate> candidates = {node("a"), node("b"), node("c")};
  candidates[2].preferred = true;
  EXPECT_THAT(hosts(candidates), ElementsAre("c", "a", "b"));
}

TEST(RankAssignment, KeepsTheRanksOfSurvivors) {
  EXPECT_THAT(hosts({node("c", 0), node("a", 2), node("b", 1)}), ElementsAre("c", "b", "a"));
}

TEST(RankAssignment, GivesAVacantRankToTheFirstNewcomer) {
  EXPECT_THAT(hosts({node("a", 0), node("c", 2), node("z"), node("b")}), ElementsAre("a", "z", "c", "b"));
}

TEST(RankAssignment, MovesTheHighestSurvivorDownWhenNobodyElseIsThere) {
  EXPECT_THAT(hosts({node("a", 0), node("c", 2), node("d", 3)}), ElementsAre("a", "d", "c"));
}

TEST(RankAssignment, SeatsNewcomersBeforeSurvivorsThatMoveDown) {
  EXPECT_THAT(hosts({node("a", 0), node("d", 3), node("new")}), ElementsAre("a", "new", "d"));
}

TEST(RankAssignment, FillsAVacantRankZeroLikeAnyOther) {
  EXPECT_THAT(hosts({node("b", 1), node("c", 2)}), ElementsAre("c", "b"));
}

TEST(RankAssignment, TakesAWishOfAnElasticJobForAWish) {
  EXPECT_THAT(hosts({wishing("b", 0), node("a"), wishing("c", 99)}), ElementsAre("b", "a", "c"));
  EXPECT_THAT(hosts({node("old", 1), wishing("new", 1)}), ElementsAre("new", "old")) << "survivors come first";
}

TEST(RankAssignment, TakesARankOfAFixedSizeForAClaim) {
  EXPECT_THAT(hosts({wishing("a", 2), wishing("b", 0), wishing("c", 1)}, true), ElementsAre("b", "c", "a"));
  EXPECT_THAT(hosts({node("old", 1), wishing("new", 1)}, true), ElementsAre("old", "new"));
}

TEST(RankAssignment, SeatsEveryoneWhateverTheyClaim) {
  EXPECT_THAT(hosts({wishing("a", 1), wishing("b", 1), wishing("c", -5)}, true), ElementsAre("b", "a", "c"));
}

TEST(RankAssignment, CountsWorkersUpByNodesAndByRoles) {
  std::vector<RankCandidate> candidates = {node("a"), node("b"), node("c")};
  candidates[0].workers = 2;
  candidates[1].workers = 3;
  candidates[2].workers = 4;
  candidates[1].role = "ps";
  Assignment common;
  common.round = {1, 7};
  common.restart_count = 2;
  const auto assignments = make_assignments(candidates, assign_ranks(candidates, false), common);
  ASSERT_EQ(assignments.size(), 3u);
  EXPECT_EQ(assignments[0], (Assignment{{1, 7}, 0, 3, 0, 9, 0, 6, 2}));
  EXPECT_EQ(assignments[1], (Assignment{{1, 7}, 1, 3, 2, 9, 0, 3, 2}));
  EXPECT_EQ(assignments[2], (Assignment{{1, 7}, 2, 3, 5, 9, 2, 6, 2}));
}

TEST(RankAssignment, ComparesNumbersWithinNames) {
  EXPECT_TRUE(natural_less("node2", "node10"));
  EXPECT_TRUE(natural_less("node2-1", "node2-10"));
  EXPECT_TRUE(natural_less("node", "node1"));
  EXPECT_TRUE(natural_less("a9b", "a10a"));
  EXPECT_FALSE(natural_less("node1", "node1"));
  EXPECT_NE(natural_less("node1", "node01"), natural_less("node01", "node1")) << "different names are never equal";
}

TEST(RankAssignment, IsAPermutationThatMovesNoSurvivorWithoutNeed) {
  std::mt19937 random(1);
  for (int times = 0; times < 2000; ++times) {
    const size_t count = 1 + random() % 8;
    std::vector<RankCandidate> candidates;
    std::vector<int> free = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    std::ranges::shuffle(free, random);
    for (size_t at = 0; at < count; ++at) {
      RankCandidate each = node("n" + std::to_string(random() % 20));
      if (random() % 2 == 0) each.previous = free[at];
      if (random() % 3 == 0) each.wished = static_cast<int>(random() % 12) - 1;
      candidates.push_back(each);
    }
    const std::vector<size_t> order = assign_ranks(candidates, false);
    ASSERT_EQ(order.size(), count);
    std::vector<size_t> sorted = order;
    std::ranges::sort(sorted);
    for (size_t at = 0; at < count; ++at) ASSERT_EQ(sorted[at], at);
    for (size_t rank = 0; rank < count; ++rank) {
      const std::optional<int>& previous = candidates[order[rank]].previous;
      if (previous && static_cast<size_t>(*previous) < count) {
        EXPECT_EQ(static_cast<size_t>(*previous), rank);
      }
    }
  }
}

}  // namespace
}  // namespace ferrun
