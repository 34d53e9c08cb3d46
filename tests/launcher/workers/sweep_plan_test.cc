#include "launcher/workers/sweep_plan.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace ferrun {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint kStart{100s};

TEST(CleansUp, KnowsPythonsTrackersAndTorchsManager) {
  using namespace std::string_literals;
  EXPECT_TRUE(cleans_up("/usr/bin/python3\0-c\0from multiprocessing.resource_tracker import main;main(5)\0"s));
  EXPECT_TRUE(cleans_up("python\0-s\0-c\0from joblib.externals.loky.backend.resource_tracker import main; main(9)\0"s));
  EXPECT_TRUE(cleans_up("/opt/torch/bin/torch_shm_manager\0"s));
  EXPECT_TRUE(cleans_up("torch_shm_manager"));
  EXPECT_FALSE(cleans_up("python3\0train.py\0--manager=torch_shm_manager\0"s));
  EXPECT_FALSE(cleans_up("python3\0resource_tracker.py\0"s));
  EXPECT_FALSE(cleans_up(""));
}

TEST(SweepPlan, KillsAWorkerAtOnceOthersAfterHalfOfTheGraceAndHelpersAfterAllOfIt) {
  SweepPlan plan;
  plan.begin(2s, false, kStart);
  struct Case {
    LeftOver what;
    TimePoint due;
  };
  for (const auto& [what, due] : std::array{Case{LeftOver::kWorker, kStart}, Case{LeftOver::kOther, kStart + 1s},
                                            Case{LeftOver::kHelper, kStart + 2s}}) {
    EXPECT_EQ(plan.is_due(what, due - 1ns), what == LeftOver::kWorker);
    EXPECT_TRUE(plan.is_due(what, due));
  }
  EXPECT_EQ(plan.all_at(), kStart + 2s);
}

TEST(SweepPlan, LooksAgainWhenSomethingGetsDueAndOftenWhileWhatIsSignalledLives) {
  SweepPlan plan;
  plan.begin(2s, false, kStart);
  EXPECT_EQ(plan.next_look(false, kStart), kStart + 1s);
  EXPECT_EQ(plan.next_look(true, kStart), kStart + 100ms);
  EXPECT_EQ(plan.next_look(false, kStart + 1s), kStart + 2s);
  EXPECT_EQ(plan.next_look(false, kStart + 2s), kStart + 2s + 100ms);
}

TEST(SweepPlan, TheShorterGraceCountsWhileASweepGoesOn) {
  SweepPlan plan;
  plan.begin(10s, false, kStart);
  plan.begin(2s, true, kStart);
  EXPECT_EQ(plan.all_at(), kStart + 2s);
  plan.begin(10s, true, kStart + 1s);
  EXPECT_EQ(plan.all_at(), kStart + 2s);
  EXPECT_TRUE(plan.is_due(LeftOver::kOther, kStart + 1s));
  plan.begin(10s, false, kStart + 3s);
  EXPECT_EQ(plan.all_at(), kStart + 13s);
  EXPECT_FALSE(plan.is_due(LeftOver::kOther, kStart + 3s));
}

TEST(SweepPlan, WithoutAGraceEverythingIsDueAtOnce) {
  SweepPlan plan;
  plan.begin(0s, false, kStart);
  EXPECT_TRUE(plan.is_due(LeftOver::kOther, kStart));
  EXPECT_TRUE(plan.is_due(LeftOver::kHelper, kStart));
}

}  // namespace
}  // namespace ferrun
