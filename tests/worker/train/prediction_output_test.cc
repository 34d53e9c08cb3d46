#include "worker/train/prediction_output.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace ferrun::train {
namespace {

std::string shown(PredictFormat format, int64_t top_k, const std::vector<Prediction>& predictions) {
  PredictionOutput output(format, {"angry", "ha,ppy", "sad"}, top_k);
  std::string text = output.begin();
  for (const Prediction& prediction : predictions) text += output.prediction(prediction);
  return text + output.end();
}

const std::vector<Prediction> kTwo{{"a.jpg", {0.125, 0.5, 0.375}}, {"b \"1\".jpg", {1, 0, 0}}};

TEST(PredictionOutput, TextHasALineForEachPicture) {
  EXPECT_EQ(shown(PredictFormat::kText, 0, kTwo),
            "a.jpg  angry 0.1250  ha,ppy 0.5000  sad 0.3750\nb \"1\".jpg  angry 1.0000  ha,ppy 0.0000  sad 0.0000\n");
  EXPECT_EQ(shown(PredictFormat::kText, 2, {kTwo[0]}), "a.jpg  ha,ppy 0.5000  sad 0.3750\n");
  EXPECT_EQ(shown(PredictFormat::kText, 9, {kTwo[0]}), "a.jpg  ha,ppy 0.5000  sad 0.3750  angry 0.1250\n");
}

TEST(PredictionOutput, TextShowsWhatANameCannotDoToATerminal) {
  EXPECT_EQ(shown(PredictFormat::kText, 1, {{"a\n\x1b[2J.jpg", {1, 0, 0}}}), "a\\n\\x1b[2J.jpg  angry 1.0000\n");
}

TEST(PredictionOutput, CsvIsQuoted) {
  EXPECT_EQ(shown(PredictFormat::kCsv, 0, kTwo),
            "file,angry,\"ha,ppy\",sad\na.jpg,0.125,0.5,0.375\n\"b \"\"1\"\".jpg\",1,0,0\n");
  EXPECT_EQ(shown(PredictFormat::kCsv, 1, kTwo),
            "file,class_1,probability_1\na.jpg,\"ha,ppy\",0.5\n\"b \"\"1\"\".jpg\",angry,1\n");
}

TEST(PredictionOutput, JsonIsOneArray) {
  using Json = nlohmann::ordered_json;
  const Json expected =
      Json::array({Json{{"file", "a.jpg"}, {"probabilities", {{"angry", 0.125}, {"ha,ppy", 0.5}, {"sad", 0.375}}}},
                   Json{{"file", "b \"1\".jpg"}, {"probabilities", {{"angry", 1.0}, {"ha,ppy", 0.0}, {"sad", 0.0}}}}});
  EXPECT_EQ(shown(PredictFormat::kJson, 0, kTwo), expected.dump(2) + "\n");
  EXPECT_EQ(shown(PredictFormat::kJson, 0, {}), "[]\n");
  const Json best = Json::parse(shown(PredictFormat::kJson, 2, {kTwo[0]}));
  EXPECT_EQ(best[0]["probabilities"].begin().key(), "ha,ppy");
  EXPECT_EQ(best[0]["probabilities"].size(), 2U);
  EXPECT_NO_THROW(Json::parse(shown(PredictFormat::kJson, 0, {{"h\xe9\n.jpg", {0, 0, 1}}})));
}

}  // namespace
}  // namespace ferrun::train
