#include "rendezvous/store/store_notices.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using Kind = StoreNotices::Kind;

const TimePoint kStart{1000s};

// A burst of warnings, at once.
void use_up(StoreNotices& notices, TimePoint now) {
  for (int i = 0; i < StoreNotices::kBurst; ++i) ASSERT_EQ(notices.warning(Kind::kConnection, "line", now), "line");
}

TEST(StoreNotices, WarnsOfAFewAndThenOfNone) {
  StoreNotices notices;
  use_up(notices, kStart);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(notices.warning(Kind::kConnection, "line", kStart), std::nullopt);
}

TEST(StoreNotices, WarnsOnceInAWhileAndSaysHowManyThereWere) {
  StoreNotices notices;
  use_up(notices, kStart);
  for (int i = 0; i < 7; ++i) (void)notices.warning(Kind::kConnection, "line", kStart);
  EXPECT_EQ(notices.warning(Kind::kConnection, "line", kStart + StoreNotices::kInterval - 1ns), std::nullopt);
  EXPECT_EQ(notices.warning(Kind::kConnection, "line", kStart + StoreNotices::kInterval),
            "line (and 8 more like it before)");
  EXPECT_EQ(notices.warning(Kind::kConnection, "line", kStart + StoreNotices::kInterval), std::nullopt);
}

TEST(StoreNotices, AfterAQuietTimeTheWholeBurstIsThereAndNoMore) {
  StoreNotices notices;
  use_up(notices, kStart);
  use_up(notices, kStart + 24h);
  EXPECT_EQ(notices.warning(Kind::kConnection, "line", kStart + 24h), std::nullopt);
}

TEST(StoreNotices, OneKindDoesNotSilenceAnother) {
  StoreNotices notices;
  use_up(notices, kStart);
  EXPECT_EQ(notices.warning(Kind::kConnection, "line", kStart), std::nullopt);
  EXPECT_EQ(notices.warning(Kind::kListener, "out of descriptors", kStart), "out of descriptors");
  EXPECT_EQ(notices.warning(Kind::kAddress, "refused", kStart), "refused");
}

}  // namespace
}  // namespace ferrun
