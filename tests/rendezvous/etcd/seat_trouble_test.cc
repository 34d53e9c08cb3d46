#include "rendezvous/etcd/seat_trouble.h"

#include <gtest/gtest.h>

namespace ferrun::etcd {
namespace {

using namespace std::chrono_literals;

const Failure kNotTrusted = {Refusal::kNoTls, "a has a certificate that is not trusted"};

TEST(SeatTrouble, ACertificateThatIsNotTrustedEndsTheFirstTryAtOnce) {
  SeatTrouble trouble("etcd (a)");
  const std::optional<Trouble> said = trouble.failed(kNotTrusted, TimePoint());
  ASSERT_TRUE(said);
  EXPECT_TRUE(said->final);
  EXPECT_EQ(said->line, "etcd (a): a has a certificate that is not trusted");
}

// It may have run out meanwhile: somebody can put a new one there.
TEST(SeatTrouble, OfAServerThatHasAnsweredItIsNotFinal) {
  SeatTrouble trouble("etcd (a)");
  trouble.answered();
  EXPECT_FALSE(trouble.failed(kNotTrusted, TimePoint()));
  const std::optional<Trouble> said = trouble.failed(kNotTrusted, TimePoint() + 2s);
  ASSERT_TRUE(said);
  EXPECT_FALSE(said->final);
}

}  // namespace
}  // namespace ferrun::etcd
