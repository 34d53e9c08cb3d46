#include "rendezvous/coordinator/saved_state_policy.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

using namespace std::chrono_literals;

TEST(SavedStatePolicy, AFileIsAwaitedUntilThePatienceOfTheLastAgentEnds) {
  EXPECT_TRUE(is_still_awaited(0s, 30s, 5s));
  EXPECT_TRUE(is_still_awaited(35s, 30s, 5s));
  EXPECT_FALSE(is_still_awaited(35s + 1ns, 30s, 5s));
  EXPECT_FALSE(is_still_awaited(std::nullopt, 30s, 5s)) << "there is no file";
}

TEST(SavedStatePolicy, AnOpenJobGoesOn) {
  EXPECT_TRUE(goes_on(CoordinatorState{}, /*own_process=*/false));
  EXPECT_TRUE(goes_on(CoordinatorState{}, /*own_process=*/true));
}

TEST(SavedStatePolicy, AClosedJobIsToldOfByAServiceAlone) {
  CoordinatorState closed;
  closed.closed = JobEnd{};
  EXPECT_FALSE(goes_on(closed, /*own_process=*/false));
  EXPECT_TRUE(goes_on(closed, /*own_process=*/true));
}

}  // namespace
}  // namespace ferrun
