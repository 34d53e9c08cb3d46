#include "worker/train/mixed_precision.h"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <string>
#include <utility>

namespace ferrun::train {
namespace {

using ::testing::HasSubstr;

bool fast(c10::ScalarType) { return true; }
bool slow(c10::ScalarType) { return false; }

TEST(MixedPrecision, SlowTypesAreToldOfWithTheRemedy) {
  for (const auto& [type, name] : {std::pair(c10::ScalarType::BFloat16, "bf16 is slow on this CPU"),
                                   std::pair(c10::ScalarType::Half, "fp16 is slow on this CPU")}) {
    EXPECT_EQ(precision_note(type, /*on_cpu=*/true, fast), std::nullopt);
    EXPECT_EQ(precision_note(type, /*on_cpu=*/false, slow), std::nullopt);
    const std::string note = precision_note(type, /*on_cpu=*/true, slow).value_or("");
    EXPECT_THAT(note, HasSubstr(name));
    EXPECT_THAT(note, HasSubstr("--amp off"));
  }
  EXPECT_EQ(precision_note(std::nullopt, /*on_cpu=*/true, slow), std::nullopt);
}

TEST(MixedPrecision, FloatIsFastEverywhere) { EXPECT_TRUE(has_fast_convolutions(c10::ScalarType::Float)); }

TEST(MixedPrecision, NothingIsSaidToBeFastThatTheProcessorCannot) {
  std::ifstream file("/proc/cpuinfo");
  const std::string processor{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (processor.find("GenuineIntel") == std::string::npos && processor.find("AuthenticAMD") == std::string::npos) {
    GTEST_SKIP() << "needs an x86 processor that /proc/cpuinfo describes";
  }
  // Of processors without AVX-512, those with AVX-NE-CONVERT have bfloat16 too.
  if (processor.find("avx512") == std::string::npos && processor.find("avx_vnni") == std::string::npos) {
    EXPECT_FALSE(has_fast_convolutions(c10::ScalarType::BFloat16));
    EXPECT_FALSE(has_fast_convolutions(c10::ScalarType::Half));
  }
}

}  // namespace
}  // namespace ferrun::train
