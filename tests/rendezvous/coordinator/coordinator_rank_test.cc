// Ranks through the rounds of a job: who keeps which, and who has lost its own.
#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/coordinator_story.h"

namespace ferrun {
namespace {

TEST(CoordinatorRank, ANodeThatWasLeftOutHasNoClaimToTheRankThatItHadBefore) {
  CoordinatorConfig config = CoordinatorStory::elastic(2, 3, 1);
  config.scale_interval = 0s;
  CoordinatorStory story(config);
  story.join_all({"a", "b", "c"});
  EXPECT_EQ(story.rank("b"), 1);
  EXPECT_EQ(story.rank("c"), 2);
  story.node("b").beats = story.node("b").answers = false;
  story.wait(15s);
  EXPECT_EQ(story.round(), (RoundId{1, 2}));
  EXPECT_EQ(story.rank("c"), 1) << "the only one that is there to move down";
  story.node("b").beats = story.node("b").answers = true;
  story.node("b").work = Work::kReaped;
  story.join("b");
  EXPECT_EQ(story.round(), (RoundId{1, 3}));
  EXPECT_EQ(story.rank("c"), 1) << "survivors keep their ranks";
  EXPECT_EQ(story.rank("b"), 2);
}

}  // namespace
}  // namespace ferrun
