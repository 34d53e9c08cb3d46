#include "rendezvous/store/store_notices.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

using namespace std::chrono_literals;
using Kind = StoreNotices::Kind;

const TimePoint kNoticesStart{1000s};

// A burst of warnings, at once.
void use_up(StoreNotices& notices, TimePoint now) {
  for (int i = 0; i < StoreNotices::kBurst; ++i) ASSERT_EQ(notices.warning(Kind::kConnection, "line", now), "line");
}

TEST(StoreNotices, WarnsOfAFewAndThenOfNone) {
  StoreNotices notices;
  use_up(notices, kNoticesStart);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(notices.warning(Kind::kConnection, "line", kNoticesStart), std::nullopt);
}

TEST(StoreNotices, WarnsOnceInAWhileAndSaysHowManyThereWere) {
  StoreNotices notices;
  use_up(notices, kNoticesStart);
  for (int i = 0; i < 7; ++i) (void)notices.warning(Kind::kConnection, "line", kNoticesStart);
  EXPECT_EQ(notices.warning(Kind::kConnection, "line", kNoticesStart + StoreNotices::kInterval - 1ns), std::nullopt);
  EXPECT_EQ(notices.warning(Kind::kConnection, "line", kNoticesStart + StoreNotices::kInterval),
            "line (and 8 more like it before)");
  EXPECT_EQ(notices.warning(Kind::kConnection, "line", kNoticesStart + StoreNotices::kInterval), std::nullopt);
}

TEST(StoreNotices, AfterAQuietTimeTheWholeBurstIsThereAndNoMore) {
  StoreNotices notices;
  use_up(notices, kNoticesStart);
  use_up(notices, kNoticesStart + 24h);
  EXPECT_EQ(notices.warning(Kind::kConnection, "line", kNoticesStart + 24h), std::nullopt);
}

TEST(StoreNotices, OneKindDoesNotSilenceAnother) {
  StoreNotices notices;
  use_up(notices, kNoticesStart);
  EXPECT_EQ(notices.warning(Kind::kConnection, "line", kNoticesStart), std::nullopt);
  EXPECT_EQ(notices.warning(Kind::kListener, "out of descriptors", kNoticesStart), "out of descriptors");
  EXPECT_EQ(notices.warning(Kind::kAddress, "refused", kNoticesStart), "refused");
}

}  // namespace
}  // namespace ferrun
