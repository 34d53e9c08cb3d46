#include "common/duration_text.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

using namespace std::chrono_literals;

TEST(DurationText, TellsWhatWasSetExactly) {
  EXPECT_EQ(exact_text(30s), "30 s");
  EXPECT_EQ(exact_text(250ms), "250 ms");
  EXPECT_EQ(exact_text(1500ms), "1500 ms");
  EXPECT_EQ(exact_text(0s), "0 s");
  EXPECT_EQ(seconds_number(30s), "30");
  EXPECT_EQ(seconds_number(500ms), "0.5");
}

TEST(DurationText, TellsWhatWasMeasuredWithTheDigitsThatMatter) {
  EXPECT_EQ(measured_text(45ms), "45 ms");
  EXPECT_EQ(measured_text(2310ms), "2.31 s");
  EXPECT_EQ(measured_text(12300us, 1), "12.3 ms");
  EXPECT_EQ(measured_text(-5ms), "-5 ms");
}

TEST(DurationText, RoundsAnAgeDown) {
  EXPECT_EQ(age_text(340ms), "340 ms");
  EXPECT_EQ(age_text(12999ms), "12 s");
  EXPECT_EQ(age_text(320s), "5 min 20 s");
  EXPECT_EQ(age_text(11100s), "3 h 5 min");
}

TEST(DurationText, RoundsWhatIsLeftUp) {
  EXPECT_EQ(in_words(-3s), "0 s");
  EXPECT_EQ(in_words(1ns), "0.1 s");
  EXPECT_EQ(in_words(1200ms), "1.2 s");
  EXPECT_EQ(in_words(9901ms), "10 s");
  EXPECT_EQ(in_words(10min), "10 min");
}

}  // namespace
}  // namespace ferrun
