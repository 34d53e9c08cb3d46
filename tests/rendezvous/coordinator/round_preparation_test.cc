#include "rendezvous/coordinator/round_preparation.h"

#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/some_members.h"

namespace ferrun {
namespace {

using Step = RoundPreparation::Step;

class RoundPreparationTest : public ::testing::Test {
 protected:
  void open_store() {
    preparation.note_prepared(0);
    preparation.open_store({{1, 1}, {"10.0.0.1"}, 4711});
  }

  SomeMembers members;
  RoundRoster roster = members.round({"node0", "node1", "node2"});
  TimePoint end = kPartsStart + 30s;
  RoundPreparation preparation{3, end};
};

TEST_F(RoundPreparationTest, GoesWhenAllAreReadyHaveReachedTheStoreAndTheRoundIsSaved) {
  preparation.note_saving(5);
  open_store();
  EXPECT_TRUE(preparation.note_prepared(1));
  EXPECT_FALSE(preparation.note_prepared(1)) << "twice";
  EXPECT_TRUE(preparation.note_prepared(2));
  for (const int rank : {2, 0, 1}) {
    EXPECT_EQ(preparation.step(kPartsStart), Step::kWait);
    EXPECT_TRUE(preparation.note_reached(rank));
    EXPECT_FALSE(preparation.note_reached(rank));
  }
  EXPECT_EQ(preparation.step(kPartsStart), Step::kWait);
  EXPECT_EQ(preparation.words(roster), "waiting for the coordinator's state to be saved");
  EXPECT_FALSE(preparation.note_saved(4, "", kPartsStart));
  EXPECT_TRUE(preparation.note_saved(5, "", kPartsStart));
  EXPECT_EQ(preparation.step(kPartsStart), Step::kGo);
  EXPECT_EQ(preparation.step(end), Step::kGo) << "nothing lacks, late as it is";
}

TEST_F(RoundPreparationTest, BelievesNobodyWhoHasReachedAStoreThatIsNotOpen) {
  EXPECT_FALSE(preparation.note_reached(1));
  open_store();
  EXPECT_TRUE(preparation.note_reached(1));
}

TEST_F(RoundPreparationTest, SavesAgainAfterAFailure) {
  preparation.note_saving(5);
  EXPECT_EQ(preparation.deadline(), end);
  preparation.note_saved(5, "no space left on device", kPartsStart);
  EXPECT_EQ(preparation.deadline(), kPartsStart + 1s);
  EXPECT_EQ(preparation.step(kPartsStart + 1s - 1ns), Step::kWait);
  EXPECT_EQ(preparation.step(kPartsStart + 1s), Step::kSave);
  preparation.note_saving(6);
  EXPECT_EQ(preparation.step(kPartsStart + 1s), Step::kWait);
  EXPECT_EQ(preparation.deadline(), end);
}

TEST_F(RoundPreparationTest, NamesThoseWhoDidNotDoWhatTheyCouldWhenItsTimeIsOver) {
  EXPECT_EQ(preparation.step(end - 1ns), Step::kWait);
  EXPECT_EQ(preparation.step(end), Step::kTimeOut);
  preparation.note_prepared(1);
  EXPECT_EQ(preparation.late(), (std::vector{0, 2})) << "without a store nobody can reach it";
  open_store();
  preparation.note_prepared(2);
  preparation.note_reached(2);
  EXPECT_EQ(preparation.late(), (std::vector{0, 1}));
}

TEST_F(RoundPreparationTest, SaysWhatItWaitsFor) {
  EXPECT_EQ(preparation.words(roster), "waiting for node0 to open the store");
  open_store();
  EXPECT_EQ(preparation.words(roster), "waiting for node1 and node2 to be ready");
  preparation.note_prepared(1);
  preparation.note_prepared(2);
  preparation.note_reached(0);
  EXPECT_EQ(preparation.words(roster),
            "waiting for node1 and node2 to reach the store at 10.0.0.1, port 4711 on node0");
}

}  // namespace
}  // namespace ferrun
