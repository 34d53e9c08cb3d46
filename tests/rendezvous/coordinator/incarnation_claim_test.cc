#include "rendezvous/coordinator/incarnation_claim.h"

#include <gtest/gtest.h>

#include "tests/rendezvous/coordinator/some_members.h"

namespace ferrun {
namespace {

TEST(PendingSave, IsAskedForAgainAWhileAfterAFailure) {
  PendingSave save;
  EXPECT_TRUE(save.settled());
  save.asked(7);
  EXPECT_FALSE(save.settled());
  EXPECT_FALSE(save.may_ask(kPartsStart));
  EXPECT_FALSE(save.answered(6, "", kPartsStart)) << "another's";
  EXPECT_FALSE(save.answered(0, "", kPartsStart)) << "nobody's";
  EXPECT_TRUE(save.answered(7, "the disk is full", kPartsStart));
  EXPECT_FALSE(save.settled());
  EXPECT_EQ(save.again_at(), kPartsStart + PendingSave::kAgain);
  EXPECT_FALSE(save.may_ask(kPartsStart + PendingSave::kAgain - 1ns));
  EXPECT_TRUE(save.may_ask(kPartsStart + PendingSave::kAgain));
  save.asked(8);
  EXPECT_FALSE(save.again_at());
  EXPECT_TRUE(save.answered(8, "", kPartsStart + 2s));
  EXPECT_TRUE(save.settled());
  EXPECT_FALSE(save.answered(8, "", kPartsStart + 2s)) << "answered already";
}

TEST(IncarnationClaim, HoldsWhatWasSavedAndNothingElse) {
  IncarnationClaim claim;
  EXPECT_FALSE(claim.holds(1));
  EXPECT_TRUE(claim.may_ask(kPartsStart));
  claim.asked(1, 1);
  EXPECT_FALSE(claim.holds(1));
  EXPECT_FALSE(claim.may_ask(kPartsStart));
  EXPECT_TRUE(claim.answered(1, "", kPartsStart));
  EXPECT_TRUE(claim.holds(1));
  EXPECT_FALSE(claim.holds(2));
  EXPECT_TRUE(claim.may_ask(kPartsStart)) << "a newer one is claimed at once";
}

TEST(IncarnationClaim, OfAnOlderNumberDoesNotHoldANewerOneThatWasLearntMeanwhile) {
  IncarnationClaim claim;
  claim.asked(1, 1);
  claim.answered(1, "", kPartsStart);
  claim.asked(2, 5);
  EXPECT_FALSE(claim.holds(6));
  EXPECT_TRUE(claim.answered(2, "", kPartsStart));
  EXPECT_TRUE(claim.holds(5));
  EXPECT_FALSE(claim.holds(6));
}

TEST(IncarnationClaim, SaysWhyItWaits) {
  IncarnationClaim claim;
  claim.asked(1, 1);
  EXPECT_EQ(claim.words(), "waiting for the coordinator's state to be saved");
  EXPECT_FALSE(claim.again_at());
  claim.answered(1, "no space left on device\n", kPartsStart);
  EXPECT_EQ(claim.words(), "waiting for the coordinator's state to be saved: no space left on device");
  EXPECT_EQ(claim.again_at(), kPartsStart + 1s);
  EXPECT_FALSE(claim.holds(1));
}

}  // namespace
}  // namespace ferrun
