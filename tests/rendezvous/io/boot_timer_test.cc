#include "rendezvous/io/net/boot_timer.h"

#include <gtest/gtest.h>

#include "common/io/clock.h"

namespace ferrun {
namespace {

constexpr Duration kTick = std::chrono::milliseconds(5);

TEST(BootTimer, FiresOnceAtItsTimeAndNotBefore) {
  boost::asio::io_context io;
  int fired = 0;
  BootTimer timer(io, [&] { ++fired; });
  const TimePoint when = boottime_now() + kTick;
  timer.set(when);
  while (fired == 0) io.run_one();
  EXPECT_GE(boottime_now(), when);
  io.run_for(3 * kTick);
  EXPECT_EQ(fired, 1);
}

TEST(BootTimer, FiresAtOnceForATimeThatIsPast) {
  boost::asio::io_context io;
  int fired = 0;
  BootTimer timer(io, [&] { ++fired; });
  timer.set(TimePoint{});
  while (fired == 0) io.run_one();
}

TEST(BootTimer, KeepsTheNewestTimeAlone) {
  boost::asio::io_context io;
  std::optional<TimePoint> fired;
  BootTimer timer(io, [&] { fired = boottime_now(); });
  const TimePoint begin = boottime_now();
  timer.set(begin + kTick);
  timer.set(begin + 5 * kTick);
  while (!fired) io.run_one();
  EXPECT_GE(*fired, begin + 5 * kTick);
  timer.set(boottime_now() + std::chrono::hours(1));
  timer.set(boottime_now() + kTick);
  for (fired.reset(); !fired;) io.run_one();
}

TEST(BootTimer, IsSilentWhenItsTimeIsTakenBack) {
  boost::asio::io_context io;
  int fired = 0;
  BootTimer timer(io, [&] { ++fired; });
  timer.set(boottime_now() + kTick);
  timer.set(std::nullopt);
  io.run_for(4 * kTick);
  EXPECT_EQ(fired, 0);
}

}  // namespace
}  // namespace ferrun
