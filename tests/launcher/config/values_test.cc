#include "launcher/config/values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/config/names.h"

namespace ferrun {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

TEST(ParseInteger, ReadsWhatPythonReads) {
  EXPECT_EQ(parse_integer("4"), 4);
  EXPECT_EQ(parse_integer(" 4 "), 4);
  EXPECT_EQ(parse_integer("+4"), 4);
  EXPECT_EQ(parse_integer("-4"), -4);
  EXPECT_EQ(parse_integer("1_000"), 1000);
  EXPECT_EQ(parse_integer("007"), 7);
}

TEST(ParseInteger, RefusesTheRest) {
  for (const char* text :
       {"", " ", "four", "4x", "x4", "1__0", "_1", "1_", "+-4", "4.0", "1e3", "99999999999999999999"}) {
    EXPECT_EQ(parse_integer(text), std::nullopt) << text;
  }
}

TEST(ParseDecimal, ReadsFiniteNumbersOnly) {
  EXPECT_EQ(parse_decimal("0.1"), 0.1);
  EXPECT_EQ(parse_decimal(" 5 "), 5);
  EXPECT_EQ(parse_decimal("1e-3"), 1e-3);
  for (const char* text : {"", "abc", "nan", "inf", "1s"}) EXPECT_EQ(parse_decimal(text), std::nullopt) << text;
}

TEST(ParseNodeRange, ReadsBothForms) {
  EXPECT_EQ(parse_node_range("4")->most, 4);
  EXPECT_EQ(parse_node_range("2:4")->least, 2);
  EXPECT_EQ(parse_node_range("2:4")->most, 4);
  for (const char* text : {"", "0", "4:2", "0:1", "1:2:3", "a:b", "1:", ":1"})
    EXPECT_FALSE(parse_node_range(text)) << text;
}

TEST(ParseKeyValues, StripsAndKeepsTheFirstEqualsSign) {
  const auto pairs = parse_key_values(" a = 1 , b=x=y");
  ASSERT_TRUE(pairs);
  EXPECT_THAT(*pairs, ElementsAre(std::pair("a", "1"), std::pair("b", "x=y")));
  EXPECT_THAT(*parse_key_values(""), IsEmpty());
  for (const char* text : {"a", "a=", "=1", "a=1,", "a=1,,b=2"}) EXPECT_FALSE(parse_key_values(text)) << text;
}

// As 0 to 3.
int bits(StreamSet streams) { return (streams.out ? 1 : 0) + (streams.err ? 2 : 0); }

TEST(ParseStreamSpec, OneDigitIsForEveryRank) {
  for (int digit = 0; digit < 4; ++digit) {
    const auto spec = parse_stream_spec(std::to_string(digit), 3);
    ASSERT_TRUE(spec);
    ASSERT_EQ(spec->size(), 3u);
    for (const StreamSet streams : *spec) EXPECT_EQ(bits(streams), digit);
  }
}

TEST(ParseStreamSpec, AListNamesRanks) {
  const auto spec = parse_stream_spec("0:3,2:1,11:2", 12);
  ASSERT_TRUE(spec);
  EXPECT_EQ(bits((*spec)[0]), 3);
  EXPECT_EQ(bits((*spec)[1]), 0);
  EXPECT_EQ(bits((*spec)[2]), 1);
  EXPECT_EQ(bits((*spec)[11]), 2);
}

TEST(ParseStreamSpec, IgnoresRanksThatAreNotThere) { EXPECT_TRUE(parse_stream_spec("7:3,999999:1", 2)); }

TEST(ParseStreamSpec, RefusesWhatTorchrunRefuses) {
  for (const char* text : {"", "4", "11", "0:1,", "0:1,1", "0:4", ":1", "a:1", "0:", "0 :1", "-1:2", "1234567:1"}) {
    EXPECT_FALSE(parse_stream_spec(text, 2)) << text;
  }
}

TEST(SplitTexts, TwoCommasAreOne) {
  EXPECT_THAT(split_texts("a,b"), ElementsAre("a", "b"));
  EXPECT_THAT(split_texts("a,,b, c"), ElementsAre("a,b", " c"));
  EXPECT_THAT(split_texts("a,,,b"), ElementsAre("a,", "b"));
  EXPECT_THAT(split_texts("a,"), ElementsAre("a", ""));
  EXPECT_THAT(split_texts(""), ElementsAre(""));
}

TEST(ParseRankList, ReadsRanks) {
  EXPECT_THAT(*parse_rank_list("0, 3"), ElementsAre(0, 3));
  EXPECT_THAT(*parse_rank_list(""), IsEmpty());
  EXPECT_THAT(*parse_rank_list("-1,2"), ElementsAre(-1, 2));
  for (const char* text : {"a", "0,"}) EXPECT_FALSE(parse_rank_list(text)) << text;
}

TEST(Names, AreWhatTheyShouldLookLike) {
  EXPECT_THAT(random_uuid(~uint64_t{0}, 0),
              MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_EQ(hexadecimal(0xDEADBEEF12345678, 8), "12345678");
  EXPECT_EQ(hexadecimal(10, 4), "000a");
  EXPECT_THAT(lower_case_name(123456789, 8), MatchesRegex("[a-z0-9]{8}"));
  EXPECT_NE(lower_case_name(1, 8), lower_case_name(2, 8));
  EXPECT_EQ(file_name_of("a/b"), "a_b");
  EXPECT_EQ(file_name_of(".."), "_");
}

}  // namespace
}  // namespace ferrun
