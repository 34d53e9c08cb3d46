#include "rendezvous/store/spin_policy.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

// How many of `wakings` the policy would look around after, when no look finds anything.
int tries_in_vain(SpinPolicy& policy, int wakings) {
  int tries = 0;
  for (int i = 0; i < wakings; ++i) {
    if (!policy.worth_it(1)) continue;
    ++tries;
    policy.wasted();
  }
  return tries;
}

TEST(SpinPolicy, LooksWhileEveryClientHasAProcessorOfItsOwn) {
  SpinPolicy policy(4);
  EXPECT_TRUE(policy.worth_it(3));
  EXPECT_FALSE(policy.worth_it(4));
  EXPECT_FALSE(SpinPolicy(1).worth_it(1));
}

TEST(SpinPolicy, LooksEverMoreRarelyWhereItFindsNothing) {
  SpinPolicy policy(4);
  EXPECT_LE(tries_in_vain(policy, 1000), 12);
  EXPECT_GE(tries_in_vain(policy, 1000), 3);
}

TEST(SpinPolicy, LooksEachTimeAgainOnceItHasFoundSomething) {
  SpinPolicy policy(4);
  tries_in_vain(policy, 1000);
  while (!policy.worth_it(1)) continue;
  policy.paid();
  EXPECT_TRUE(policy.worth_it(1));
}

}  // namespace
}  // namespace ferrun
