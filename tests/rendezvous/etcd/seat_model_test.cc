// Whatever the network and the scheduler do, one agent at most acts as the coordinator, and only its states are
// written, in their order.
#include "tests/rendezvous/etcd/seat_model.h"

#include <gtest/gtest.h>

namespace ferrun::etcd {
namespace {

constexpr uint64_t kSeeds = 25;
constexpr int kSteps = 1500;

// The first seed that breaks it; 0: none does.
uint64_t seed_that_breaks(SeatMutant mutant) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SeatModel model(seed, mutant);
    model.run(kSteps);
    if (!model.broken().empty()) return seed;
  }
  return 0;
}

TEST(SeatModel, HoldsInEveryHistory) {
  int wins = 0, saves = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SeatModel model(seed, SeatMutant::kNone);
    model.run(kSteps);
    EXPECT_EQ(model.broken(), "") << "seed " << seed;
    wins += model.wins();
    saves += model.saves();
  }
  // The histories are about something.
  EXPECT_GT(wins, static_cast<int>(3 * kSeeds));
  EXPECT_GT(saves, static_cast<int>(50 * kSeeds));
}

TEST(SeatModel, SeesAWriteWithoutTheSeat) { EXPECT_NE(seed_that_breaks(SeatMutant::kNoSeatFence), 0u); }
TEST(SeatModel, SeesAnOlderStateOverANewerOne) { EXPECT_NE(seed_that_breaks(SeatMutant::kNoStateFence), 0u); }
TEST(SeatModel, SeesAnAgentThatActsWithoutAClock) { EXPECT_NE(seed_that_breaks(SeatMutant::kNoOwnClock), 0u); }
TEST(SeatModel, SeesALeaseThatIsCountedFromTheAnswer) { EXPECT_NE(seed_that_breaks(SeatMutant::kLeaseFromReply), 0u); }

}  // namespace
}  // namespace ferrun::etcd
