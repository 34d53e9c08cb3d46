// Thousands of jobs, each with its own faults: every invariant holds in all of them (checker.h lists them). Two shards,
// so that two cores share them; FERRUN_SIM_SEEDS in the environment asks for another number. A failing job names its
// seed: ferrun_sim --seed N --trace tells its story.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "tests/sim/random_job.h"
#include "tests/sim/run.h"

namespace ferrun::sim {
namespace {

constexpr uint64_t kSeeds = FERRUN_SIM_SEEDS;
constexpr uint64_t kShards = 2;
constexpr int kShown = 5;

uint64_t seeds() {
  const char* const asked = std::getenv("FERRUN_SIM_SEEDS");
  return asked == nullptr ? kSeeds : std::strtoull(asked, nullptr, 10);
}

class Seeds : public ::testing::TestWithParam<uint64_t> {};

void expect_every_invariant(uint64_t first, uint64_t last, bool with_etcd) {
  Coverage coverage;
  Totals totals;
  int failed = 0;
  for (uint64_t seed = first; seed <= last; seed += kShards) {
    const auto violation = run_seed(seed, {std::nullopt, nullptr, &coverage, "", with_etcd}, totals);
    if (!violation) continue;
    ADD_FAILURE() << "seed " << seed << ": " << violation->invariant << ": " << violation->what;
    if (++failed == kShown) break;
  }
  std::printf("%s%s", totals.report().c_str(), coverage.report().c_str());
}

TEST_P(Seeds, KeepEveryInvariant) { expect_every_invariant(1 + GetParam(), seeds(), false); }

// A twentieth of them once more, with a seat in etcd in place of the endpoint: each takes ten times as long.
TEST_P(Seeds, KeepEveryInvariantWithEtcd) { expect_every_invariant(1 + GetParam(), seeds() / 20, true); }

INSTANTIATE_TEST_SUITE_P(Shards, Seeds, ::testing::Range(uint64_t{0}, kShards));

TEST(Simulation, TheSameSeedTellsTheSameStory) {
  for (const auto& [seed, with_etcd] : {std::pair(3u, false), {17u, false}, {42u, false}, {3u, true}, {17u, true}}) {
    Totals totals;
    Trace first(Trace::To::kText);
    Trace second(Trace::To::kText);
    run_seed(seed, {std::nullopt, &first, nullptr, "", with_etcd}, totals);
    run_seed(seed, {std::nullopt, &second, nullptr, "", with_etcd}, totals);
    EXPECT_EQ(first.take_text(), second.take_text());
  }
}

TEST(Simulation, AHostsClockAndTheTrueTimeAgreeBothWays) {
  using namespace std::chrono_literals;
  for (const int64_t ppm : {-4900, -1, 0, 3, 4900}) {
    const HostClock clock(1234s + 5ns, ppm);
    for (const Duration time : {Duration(0), Duration(1), Duration(987654321), Duration(3600s + 7ns)}) {
      const TimePoint local = clock.at(TrueTime(time)) + 1ns;
      const TrueTime when = clock.when(local);
      EXPECT_GE(clock.at(when), local);
      EXPECT_LT(clock.at(when - 1ns), local);
    }
  }
}

TEST(Simulation, NineteenOfTwentyJobsAreSmallAndTheOthersLarge) {
  int small = 0;
  int large = 0;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    const size_t nodes = random_job(seed).nodes.size();
    small += nodes >= 3 && nodes <= 16 ? 1 : 0;
    large += nodes >= 200 ? 1 : 0;
  }
  EXPECT_EQ(small + large, 1000);
  EXPECT_NEAR(large, 50, 20);
}

}  // namespace
}  // namespace ferrun::sim
