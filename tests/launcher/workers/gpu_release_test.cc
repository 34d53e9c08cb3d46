#include "launcher/workers/gpu_release.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr const char* kDevice = "0000:1b:00.0";
constexpr uint64_t kGibibyte = uint64_t{1} << 30;
const TimePoint kBegin{seconds(100)};

GpuRelease rule() { return GpuRelease({4711, 4712}, seconds(10), kBegin); }

TEST(GpuRelease, GoesOnAtOnceWhereNobodyHoldsMemory) {
  const GpuRelease::Verdict verdict = rule().judge({}, kBegin);
  EXPECT_TRUE(verdict.go);
  EXPECT_EQ(verdict.line, "");
}

TEST(GpuRelease, WaitsForAWorkerOfTheAttemptBefore) {
  EXPECT_FALSE(rule().judge({{kDevice, 4712, "python", kGibibyte}}, kBegin).go);
  EXPECT_FALSE(rule().judge({{kDevice, 4712, "", kGibibyte, false}}, kBegin + seconds(10) - milliseconds(1)).go);
}

TEST(GpuRelease, WaitsForAProcessThatCameAndEndedWithTheAttempt) {
  EXPECT_FALSE(rule().judge({{kDevice, 5000, "", kGibibyte}}, kBegin).go);
}

TEST(GpuRelease, DoesNotWaitForOthers) {
  EXPECT_TRUE(rule().judge({{kDevice, 5000, "Xorg", kGibibyte}}, kBegin).go) << "runs";
  EXPECT_TRUE(rule().judge({{kDevice, 5000, "", kGibibyte, false}}, kBegin).go) << "of another container, say";
}

TEST(GpuRelease, SaysWhoHoldsTheMemoryWhenItGoesOnAllTheSame) {
  const GpuRelease::Verdict verdict = rule().judge(
      {{kDevice, 4711, "", 3 * kGibibyte}, {kDevice, 5000, "Xorg", kGibibyte}, {kDevice, 4712, "python", 0}},
      kBegin + seconds(10));
  EXPECT_TRUE(verdict.go);
  EXPECT_EQ(verdict.line,
            "GPU memory of the attempt before is still held after 10 s (0000:1b:00.0: 3.0 GiB by pid 4711, which has "
            "ended; 0000:1b:00.0: pid 4712 (python)): starting the next one all the same");
}

TEST(GpuRelease, NamesTheFirstFewOfMany) {
  std::vector<HeldMemory> held;
  for (int pid = 1; pid <= 7; ++pid) held.push_back({kDevice, 90000 + pid, "", kGibibyte});
  EXPECT_THAT(rule().judge(held, kBegin + seconds(11)).line, HasSubstr("pid 90004, which has ended and 3 more)"));
}

}  // namespace
}  // namespace ferrun
