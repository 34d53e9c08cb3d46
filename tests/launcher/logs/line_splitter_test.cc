#include "common/line_splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Lines = std::vector<std::string>;

Lines split(const std::vector<std::string_view>& pieces, size_t longest = 1000) {
  Lines lines;
  const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
  LineSplitter splitter(longest);
  for (const std::string_view piece : pieces) splitter.feed(piece, keep);
  splitter.finish(keep);
  return lines;
}

// The rules again, one byte at a time and without a limit.
Lines split_slowly(std::string_view bytes) {
  Lines lines;
  std::string line;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == '\n') {
      lines.push_back(line);
      line.clear();
    } else if (bytes[i] == '\r') {
      if (line.empty()) continue;
      lines.push_back(line);
      line.clear();
      if (i + 1 < bytes.size() && bytes[i + 1] == '\n') ++i;
    } else {
      line += bytes[i];
    }
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

TEST(LineSplitter, CutsAtNewlinesAndKeepsEmptyLines) {
  EXPECT_THAT(split({"one\n\ntwo\n"}), ElementsAre("one", "", "two"));
  EXPECT_THAT(split({"\n"}), ElementsAre(""));
  EXPECT_THAT(split({}), IsEmpty());
}

TEST(LineSplitter, HoldsAPartialLineUntilItsEnd) {
  Lines lines;
  const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
  LineSplitter splitter(100);
  splitter.feed("par", keep);
  EXPECT_THAT(lines, IsEmpty());
  EXPECT_EQ(splitter.held(), 3U);
  splitter.feed("t\nnext", keep);
  EXPECT_THAT(lines, ElementsAre("part"));
  splitter.finish(keep);
  EXPECT_THAT(lines, ElementsAre("part", "next"));
  EXPECT_EQ(splitter.held(), 0U);
}

TEST(LineSplitter, TakesCarriageReturnAndNewlineForOneEnd) {
  EXPECT_THAT(split({"dos\r\nfile\r\n"}), ElementsAre("dos", "file"));
  EXPECT_THAT(split({"dos\r", "\nfile"}), ElementsAre("dos", "file"));
  EXPECT_THAT(split({"a\r\n\r\nb"}), ElementsAre("a", "", "b"));
}

TEST(LineSplitter, MakesALineOfEveryStateOfAProgressBar) {
  EXPECT_THAT(split({"\r 10 %\r 50 %\r100 %\ndone\n"}), ElementsAre(" 10 %", " 50 %", "100 %", "done"));
}

TEST(LineSplitter, PassesNulAndInvalidBytesUntouched) {
  const std::string odd("a\0b\xff\xfe\x80z", 8);
  EXPECT_THAT(split({odd, "\n"}), ElementsAre(odd));
}

TEST(LineSplitter, CutsALineAboveTheLimitWithoutLosingBytes) {
  EXPECT_THAT(split({"abcdefghij\nk\n"}, 4), ElementsAre("abcd", "efgh", "ij", "k"));
  EXPECT_THAT(split({"abcd\nefgh\r\n"}, 4), ElementsAre("abcd", "efgh"));
}

TEST(LineSplitter, DoesNotCutInsideACharacter) { EXPECT_THAT(split({"aä€😀b\n"}, 4), ElementsAre("aä", "€", "😀", "b")); }

TEST(LineSplitter, CutsBytesThatAreNoCharactersAtTheLimit) {
  EXPECT_THAT(split({"\x80\x80\x80\x80\x80\n"}, 4), ElementsAre("\x80\x80\x80\x80", "\x80"));
  EXPECT_THAT(split({"\xf0\x9f\n"}, 1), ElementsAre("\xf0", "\x9f"));
}

std::string random_text(std::mt19937& random, size_t size) {
  static const std::vector<std::string> kParts = {"a", "bc", "\n", "\n",   "\r",   "\r\n",     std::string(1, '\0'),
                                                  "ä", "€",  "😀",  "\xff", "\x80", "\xf0\x9f", "long words "};
  std::string text;
  while (text.size() < size) text += kParts[random() % kParts.size()];
  return text;
}

TEST(LineSplitter, GivesTheSameLinesForEverySplitInTwo) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const std::string text = random_text(random, 60);
    const std::string_view view = text;
    for (const size_t longest : {1, 2, 3, 4, 5, 8, 1000}) {
      const Lines whole = split({view}, longest);
      if (longest == 1000) {
        ASSERT_EQ(whole, split_slowly(text));
      }
      for (size_t cut = 0; cut <= text.size(); ++cut) {
        ASSERT_EQ(split({view.substr(0, cut), view.substr(cut)}, longest), whole)
            << "cut " << cut << ", longest " << longest;
      }
    }
  }
}

TEST(LineSplitter, GivesTheSameLinesForRandomPieces) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const std::string text = random_text(random, 400);
    const size_t longest = 1 + random() % 60;
    std::vector<std::string_view> pieces;
    for (std::string_view rest = text; !rest.empty();) {
      pieces.push_back(rest.substr(0, random() % 9));
      rest.remove_prefix(pieces.back().size());
    }
    ASSERT_EQ(split(pieces, longest), split({text}, longest));
  }
}

}  // namespace
}  // namespace ferrun
