#include "rendezvous/coordinator/round_gathering.h"

#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/some_members.h"

namespace ferrun {
namespace {

Gathering ready_nodes(size_t count) {
  Gathering nodes;
  nodes.ready.count = count;
  for (size_t node = 0; node < count; ++node) nodes.ready.names.push_back("node" + std::to_string(node));
  return nodes;
}

TEST(RoundGathering, FormsARoundOfFixedSizeWhenAllAreThere) {
  RoundGathering gathering({2, 2, 30s});
  EXPECT_FALSE(gathering.step(ready_nodes(1), kPartsStart, kPartsStart));
  EXPECT_EQ(gathering.why(), "waiting for 1 of 2 nodes; here: node0");
  EXPECT_FALSE(gathering.deadline()) << "time alone changes nothing";
  EXPECT_TRUE(gathering.step(ready_nodes(2), kPartsStart, kPartsStart));
  EXPECT_EQ(gathering.why(), "all 2 nodes are there");
}

TEST(RoundGathering, MakesALastCallFromTheMomentAtWhichEnoughAreThere) {
  RoundGathering gathering({2, 4, 30s});
  EXPECT_FALSE(gathering.step(ready_nodes(1), kPartsStart, kPartsStart));
  EXPECT_FALSE(gathering.step(ready_nodes(2), kPartsStart + 5s, kPartsStart + 5s));
  EXPECT_EQ(gathering.deadline(), kPartsStart + 35s);
  EXPECT_FALSE(gathering.step(ready_nodes(3), kPartsStart + 20s, kPartsStart + 20s));
  EXPECT_EQ(gathering.deadline(), kPartsStart + 35s) << "it is not prolonged";
  EXPECT_FALSE(gathering.step(ready_nodes(3), kPartsStart + 35s, kPartsStart + 34s)) << "not judged yet";
  EXPECT_TRUE(gathering.step(ready_nodes(3), kPartsStart + 35s, kPartsStart + 35s));
}

TEST(RoundGathering, BeginsTheLastCallAnewWhenTooFewWereLeftMeanwhile) {
  RoundGathering gathering({2, 4, 30s});
  gathering.step(ready_nodes(2), kPartsStart, kPartsStart);
  gathering.step(ready_nodes(1), kPartsStart + 10s, kPartsStart + 10s);
  EXPECT_FALSE(gathering.step(ready_nodes(2), kPartsStart + 30s, kPartsStart + 30s));
  EXPECT_EQ(gathering.deadline(), kPartsStart + 60s);
}

TEST(RoundGathering, WaitsForWhatNodesHaveNoPartIn) {
  RoundGathering gathering({1, 1, 30s});
  ASSERT_TRUE(gathering.step(ready_nodes(1), kPartsStart, kPartsStart));
  gathering.wait_for("waiting for the disk", kPartsStart + 1s);
  EXPECT_EQ(gathering.why(), "waiting for the disk");
  EXPECT_EQ(gathering.deadline(), kPartsStart + 1s);
  EXPECT_TRUE(gathering.look(ready_nodes(1), kPartsStart).form) << "which is no matter of the nodes";
}

TEST(RoundGathering, RemembersWhyTheLastRoundCouldNotStartUntilOneHas) {
  RoundGathering gathering({1, 1, 30s});
  EXPECT_EQ(gathering.failed_start_words(), "");
  gathering.note_failed_start("node1: no memory");
  EXPECT_EQ(gathering.failed_start_words(), "; the last round could not start: node1: no memory");
  gathering.note_start();
  EXPECT_EQ(gathering.failed_start_words(), "");
}

}  // namespace
}  // namespace ferrun
