#include "worker/checkpoint/weight_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferrun::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(WeightIndex, IsToldByItsName) {
  EXPECT_TRUE(is_weight_index("a/model.safetensors.index.json"));
  EXPECT_TRUE(is_weight_index("pytorch_model.bin.index.json"));
  EXPECT_FALSE(is_weight_index("model.safetensors"));
  EXPECT_FALSE(is_weight_index("latest.json"));
}

TEST(WeightIndex, HasTheWeightsOfEachFile) {
  const auto files = read_weight_index(
      R"({"metadata": {"total_size": 12}, "weight_map": {"a.b": "1.safetensors", "c": "2.safetensors", "d": "1.safetensors"}})");
  ASSERT_TRUE(files.ok());
  EXPECT_THAT(*files,
              ElementsAre(Pair("1.safetensors", ElementsAre("a.b", "d")), Pair("2.safetensors", ElementsAre("c"))));
}

TEST(WeightIndex, OtherTextsAreRefusedInOneLine) {
  const std::pair<std::string, const char*> refused[] = {
      {"", "it has no weight_map"},
      {"[1]", "it has no weight_map"},
      {R"({"weight_map": {}})", "it has no weight_map"},
      {R"({"weight_map": {"a": "b.safetensors")", "it has no weight_map"},
      {R"({"weight_map": {"a": 3}})", "'a' has no file"},
      {R"({"weight_map": {"a": "../b.pt"}})", "the file of 'a' is not beside it"},
      {R"({"weight_map": {"a": ".."}})", "the file of 'a' is not beside it"},
      {R"({"weight_map": {"a": ""}})", "the file of 'a' is not beside it"},
      {R"({"weight_map": {"a": "b\u0000"}})", "the file of 'a' is not beside it"},
  };
  for (const auto& [text, line] : refused) {
    const auto files = read_weight_index(text);
    ASSERT_FALSE(files.ok()) << text;
    EXPECT_THAT(files.error().message, HasSubstr(line));
  }
}

}  // namespace
}  // namespace ferrun::checkpoint
