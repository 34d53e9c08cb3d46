#include "rendezvous/coordinator/departures.h"

#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/some_members.h"

namespace ferrun {
namespace {

using Clauses = std::vector<std::string>;

TEST(Departures, TellTheNewestOfEachNode) {
  Departures departures;
  departures.note("node1", "has left", kPartsStart);
  departures.note("node2", "was lost (its connection ended)", kPartsStart);
  departures.note("node1", "was lost (reset)", kPartsStart);
  EXPECT_EQ(departures.clauses(kPartsStart),
            (Clauses{"node2 was lost (its connection ended)", "node1 was lost (reset)"}));
  departures.note_return("node2");
  EXPECT_EQ(departures.clauses(kPartsStart), Clauses{"node1 was lost (reset)"});
  departures.clear();
  EXPECT_EQ(departures.clauses(kPartsStart), Clauses{});
}

TEST(Departures, SayForHowLongANodeIsBarredUntilItIsNot) {
  Departures departures;
  departures.note("node1", "was lost (reset)", kPartsStart);
  departures.note("node1", "is barred", kPartsStart, kPartsStart + 10s);
  departures.note("node1", "was lost (reset)", kPartsStart + 1s);
  EXPECT_EQ(departures.clauses(kPartsStart + 3s), Clauses{"node1 is barred for 7 s"});
  EXPECT_EQ(departures.all(), Clauses{"node1 is barred"});
  EXPECT_EQ(departures.clauses(kPartsStart + 10s), Clauses{});
  departures.note("node1", "has left", kPartsStart + 10s);
  EXPECT_EQ(departures.clauses(kPartsStart + 10s), Clauses{"node1 has left"});
}

TEST(Departures, AreBounded) {
  Departures departures;
  for (int node = 0; node < 100; ++node) departures.note("node" + std::to_string(node), "has left", kPartsStart);
  EXPECT_EQ(departures.all().size(), 16u);
  EXPECT_EQ(departures.all().back(), "node99 has left");
}

TEST(Departures, WaitAMomentForOthersAfterASignal) {
  Departures departures;
  EXPECT_FALSE(departures.settles(kPartsStart));
  departures.note_signal(15, "node1 leaves (SIGTERM)", kPartsStart + 250ms);
  EXPECT_TRUE(departures.settles(kPartsStart + 249ms));
  EXPECT_FALSE(departures.settles(kPartsStart + 250ms));
  EXPECT_EQ(departures.last_signal(), 15);
  EXPECT_EQ(departures.settle_line(), "node1 leaves (SIGTERM)");
  departures.note_return("node2");
  EXPECT_EQ(departures.last_signal(), 0) << "not everybody leaves";
}

}  // namespace
}  // namespace ferrun
