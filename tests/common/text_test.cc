#include "common/text.h"

#include <gtest/gtest.h>

namespace ferrun {
namespace {

TEST(Strip, TakesBlanksOffBothEnds) {
  EXPECT_EQ(strip(" \ta b\r\n"), "a b");
  EXPECT_EQ(strip("a"), "a");
  EXPECT_EQ(strip(" \n "), "");
  EXPECT_EQ(strip(""), "");
}

TEST(CutUtf8, LeavesOutACharacterThatDoesNotFit) {
  EXPECT_EQ(cut_utf8("\xc3\xa4\xc3\xa4", 4), "\xc3\xa4\xc3\xa4");
  EXPECT_EQ(cut_utf8("\xc3\xa4\xc3\xa4", 3), "\xc3\xa4");
  EXPECT_EQ(cut_utf8("ab\xf0\x9f\x98\x80", 5), "ab");
  EXPECT_EQ(cut_utf8("abc", 2), "ab");
  EXPECT_EQ(cut_utf8("", 0), "");
}

TEST(CutUtf8, CutsWhatIsNoUtf8AtTheLimit) { EXPECT_EQ(cut_utf8("a\x80\x80\x80\x80\x80", 5), "a\x80\x80\x80\x80"); }

}  // namespace
}  // namespace ferrun
