#include "common/printable_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Printable, KeepsTextAndReplacesWhatIsNone) {
  EXPECT_EQ(printable("plain\ttext"), "plain\ttext");
  EXPECT_EQ(printable("gr\xC3\xBC\xC3\x9F"), "gr\xC3\xBC\xC3\x9F");
  EXPECT_EQ(printable("a\xff"
                      "b"),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(printable("cut \xE2\x82"), "cut \xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(printable("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD") << "not the shortest form";
  EXPECT_EQ(printable("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD") << "a surrogate";
  EXPECT_EQ(printable("\xF4\x90\x80\x80").size(), 12u) << "beyond U+10FFFF";
  EXPECT_EQ(printable("\xF0\x9F\x98\x80"), "\xF0\x9F\x98\x80");
}

TEST(Printable, LeavesOutWhatWouldMoveTheCursor) {
  EXPECT_EQ(printable("\x1B[31mred\x1B[0m"), "red");
  EXPECT_EQ(printable("\x1B]0;title\aafter"), "after");
  EXPECT_EQ(printable("\x1B[31"), "");
  EXPECT_EQ(printable("a\x1B"), "a");
  EXPECT_EQ(printable("bell\a\x7F\b"), "bell");
  EXPECT_EQ(printable("10%\r20%\r30%"), "30%");
  EXPECT_EQ(printable("windows\r"), "windows");
  EXPECT_EQ(printable(std::string_view("nul\0l", 5)), "null");
}

TEST(OneLine, ShowsAllThatWasTyped) {
  EXPECT_EQ(one_line("--tee=a\nb\t\x1B[31m\r\x7F"), "--tee=a\\nb\\t\\x1b[31m\\r\\x7f");
  EXPECT_EQ(one_line("caf\xC3\xA9 \xFF"), "caf\xC3\xA9 \xEF\xBF\xBD");
  EXPECT_EQ(one_line(""), "");
}

TEST(LinesOf, EndsWithoutEmptyLines) {
  EXPECT_THAT(lines_of("a\n\nb\n \n\n"), ElementsAre("a", "", "b"));
  EXPECT_THAT(lines_of(""), IsEmpty());
}

}  // namespace
}  // namespace ferrun
