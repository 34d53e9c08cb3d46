#include "worker/ddp/store_reach.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace ferrun::ddp {
namespace {

using std::chrono::milliseconds;

// Nobody listens on tcpmux.
TEST(StoreReach, TellsOnceWhatItWaitsForAndThenFails) {
  std::vector<std::string> told;
  const auto tell = [&](const std::string& refused) { told.push_back(refused); };
  const Status there = wait_for_listener(
      "127.0.0.1", 1, {.timeout = milliseconds(400), .silence = milliseconds(20), .still_waiting = tell});
  ASSERT_FALSE(there);
  EXPECT_EQ(there.error().message, "nobody listens there (Connection refused)");
  EXPECT_EQ(told, std::vector<std::string>{there.error().message});
}

TEST(StoreReach, SaysNothingBeforeItsTime) {
  std::vector<std::string> told;
  const auto tell = [&](const std::string& refused) { told.push_back(refused); };
  EXPECT_FALSE(wait_for_listener("127.0.0.1", 1, {.timeout = milliseconds(50), .still_waiting = tell}));
  EXPECT_TRUE(told.empty());
}

TEST(StoreReach, TellsOfANameWithoutAnAddress) {
  const Status there = wait_for_listener("no-such-host.invalid", 1, {.timeout = milliseconds(1)});
  ASSERT_FALSE(there);
  EXPECT_EQ(there.error().message.rfind("the host's name has no address (", 0), 0u) << there.error().message;
}

}  // namespace
}  // namespace ferrun::ddp
