#include "rendezvous/store/silent_clients.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Duration kPatience = 30s;
const TimePoint kStart{1000s};

TEST(SilentClients, GoWhenTheirPatienceIsOver) {
  SilentClients clients(kPatience);
  EXPECT_EQ(clients.next_deadline(), std::nullopt);
  clients.connected(1, kStart);
  clients.connected(2, kStart + 1s);
  EXPECT_EQ(clients.next_deadline(), kStart + kPatience);
  EXPECT_THAT(clients.take_overdue(kStart + kPatience - 1ns), IsEmpty());
  EXPECT_THAT(clients.take_overdue(kStart + kPatience), ElementsAre(1));
  EXPECT_EQ(clients.next_deadline(), kStart + kPatience + 1s);
}

TEST(SilentClients, OnesThatHaveSpokenStay) {
  SilentClients clients(kPatience);
  clients.connected(1, kStart);
  clients.connected(2, kStart);
  clients.settled(1);
  clients.settled(1);
  clients.settled(7);
  EXPECT_THAT(clients.take_overdue(kStart + kPatience), ElementsAre(2));
  EXPECT_THAT(clients.take_overdue(kStart + 2 * kPatience), IsEmpty());
}

TEST(SilentClients, AreLessPatientlyWaitedForWhenTheyAreMany) {
  SilentClients clients(kPatience);
  for (StoreConnectionId id = 0; id < SilentClients::kMany + 3; ++id) clients.connected(id, kStart);
  EXPECT_EQ(clients.next_deadline(), kStart + SilentClients::kShortPatience);
  EXPECT_THAT(clients.take_overdue(kStart + SilentClients::kShortPatience - 1ns), IsEmpty())
      << "a large job connects at once";
  EXPECT_THAT(clients.take_overdue(kStart + SilentClients::kShortPatience), ElementsAre(0, 1, 2));
  EXPECT_EQ(clients.size(), SilentClients::kMany);
  EXPECT_EQ(clients.next_deadline(), kStart + kPatience);
}

TEST(SilentClients, OneThatIsLetOffWaitsAnew) {
  SilentClients clients(kPatience);
  clients.connected(1, kStart);
  EXPECT_THAT(clients.take_overdue(kStart + kPatience), ElementsAre(1));
  clients.connected(1, kStart + kPatience);
  EXPECT_EQ(clients.next_deadline(), kStart + 2 * kPatience);
}

}  // namespace
}  // namespace ferrun
