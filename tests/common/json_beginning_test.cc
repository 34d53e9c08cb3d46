#include "common/json_beginning.h"

#include <gtest/gtest.h>

#include <string>

namespace ferrun {
namespace {

TEST(JsonBeginning, KeepsWhatIsThereOfAStringValue) {
  EXPECT_EQ(completed_json(R"({"message": {"message": "ValueError: b)"),
            R"({"message": {"message": "ValueError: b"}})");
  EXPECT_EQ(completed_json(R"({"list": ["one", "tw)"), R"({"list": ["one", "tw"]})");
  EXPECT_EQ(completed_json(R"("te)"), R"("te")");
}

TEST(JsonBeginning, LeavesOutWhatHasNotBegunOrIsNotWhole) {
  EXPECT_EQ(completed_json(R"({"a": "x", "b)"), R"({"a": "x"})");
  EXPECT_EQ(completed_json(R"({"a": "x", "b")"), R"({"a": "x"})");
  EXPECT_EQ(completed_json(R"({"a": "x", "b": )"), R"({"a": "x"})");
  EXPECT_EQ(completed_json(R"({"a": "x", "b": 12)"), R"({"a": "x"})") << "more digits may follow";
  EXPECT_EQ(completed_json(R"({"a": "x", "b": 12, )"), R"({"a": "x", "b": 12})");
  EXPECT_EQ(completed_json(R"({"a": {"b": [1, tru)"), R"({"a": {"b": [1]}})");
  EXPECT_EQ(completed_json("{"), "{}");
  EXPECT_EQ(completed_json(""), "");
  EXPECT_EQ(completed_json("12"), "");
}

TEST(JsonBeginning, CutsNoEscapeAndNoCharacter) {
  EXPECT_EQ(completed_json(R"(["a\)"), R"(["a"])");
  EXPECT_EQ(completed_json(R"(["a\\)"), R"(["a\\"])");
  EXPECT_EQ(completed_json(R"(["a\")"), R"(["a\""])");
  EXPECT_EQ(completed_json(R"(["a\u00)"), R"(["a"])");
  EXPECT_EQ(completed_json(R"(["a\u00e9)"), R"(["a\u00e9"])");
  EXPECT_EQ(completed_json(R"(["a\ud83d)"), R"(["a"])") << "half of a pair";
  EXPECT_EQ(completed_json(R"(["a\ud83d\ude)"), R"(["a"])");
  EXPECT_EQ(completed_json(R"(["a\ud83d\ude00)"), R"(["a\ud83d\ude00"])");
  EXPECT_EQ(completed_json("[\"a\xc3"), "[\"a\"]");
  EXPECT_EQ(completed_json("[\"a\xc3\xa9"), "[\"a\xc3\xa9\"]");
  EXPECT_EQ(completed_json("[\"a\xf0\x9f\x98"), "[\"a\"]");
}

TEST(JsonBeginning, LeavesAWholeTextAsItIs) {
  const std::string whole = R"({"a": ["{", "}]\"", {"b": null}], "c": -1.5e3})";
  EXPECT_EQ(completed_json(whole), whole);
}

TEST(JsonBeginning, OfNoJsonIsAnything) {
  for (const char* text : {"}", "]]", "\\", "\"\\u", "{\"\\ud8", "[}{]", "::,,"}) completed_json(text);
}

}  // namespace
}  // namespace ferrun
