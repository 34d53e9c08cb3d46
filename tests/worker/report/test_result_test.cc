#include "worker/report/test_result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/temporary_directory.h"
#include "worker/report/output_file.h"

namespace ferrun::report {
namespace {

using ::testing::HasSubstr;

TestResult result() {
  return {"runs/a/best_model.pt",
          "/data/fer",
          0.5,
          {{"happy", "sad"}, {3, 1, 0, 4}},
          {{"val/happy/1.jpg", "happy", "sad", 0.75, {1, 2, 3, 255}}, {"val/sad/2.jpg", "sad", "sad", 1.0, {}}}};
}

TEST(TestJson, IsReadAsItWasWritten) {
  const auto read = parse_test_json(test_json(result()), "test.json");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->checkpoint, "runs/a/best_model.pt");
  EXPECT_EQ(read->data, "/data/fer");
  EXPECT_EQ(read->loss, 0.5);
  EXPECT_EQ(read->confusion, result().confusion);
  EXPECT_EQ(read->predictions, result().predictions);
}

TEST(TestJson, NamesItsNumbersForOtherPrograms) {
  const std::string json = test_json(result());
  for (const char* part : {"\"accuracy\": 0.875", "\"macro_f1\": 0.873", "\"samples\": 8", "\"support\": 4",
                           "\"thumbnail\": \"AQID/w==\""}) {
    EXPECT_THAT(json, HasSubstr(part));
  }
}

TEST(TestJson, StandsALossThatIsNoNumberAndNamesThatAreNoUtf8) {
  TestResult odd = result();
  odd.loss = std::numeric_limits<double>::infinity();
  odd.confusion.classes[0] = "h\xff";
  odd.predictions.clear();
  const auto read = parse_test_json(test_json(odd), "test.json");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_TRUE(std::isnan(read->loss));
  EXPECT_EQ(read->confusion.classes[0], "h\xef\xbf\xbd");
  EXPECT_TRUE(read->predictions.empty());
}

TEST(TestJson, ThatIsNoneIsRefusedWithTheFieldAtFault) {
  const auto refusal = [](const std::string& text) {
    const auto read = parse_test_json(text, "runs/a/test.json");
    return read.ok() ? "accepted" : read.error().message;
  };
  EXPECT_EQ(refusal("{"), "runs/a/test.json is no JSON object");
  EXPECT_EQ(refusal("[]"), "runs/a/test.json is no JSON object");
  EXPECT_THAT(refusal("{}"), HasSubstr("'classes'"));
  EXPECT_THAT(refusal(R"({"classes": [{"title": 1}]})"), HasSubstr("'classes'"));
  const std::string classes = R"({"classes": [{"name": "a"}, {"name": "b"}], )";
  EXPECT_THAT(refusal(classes + R"("confusion_matrix": [[1, 2]]})"), HasSubstr("'confusion_matrix'"));
  EXPECT_THAT(refusal(classes + R"("confusion_matrix": [[1, 2], [3]]})"), HasSubstr("'confusion_matrix'"));
  EXPECT_THAT(refusal(classes + R"("confusion_matrix": [[1, 2], [3, -4]]})"), HasSubstr("made of counts"));
  EXPECT_THAT(refusal(classes + R"("confusion_matrix": [[1, 2], [3, 4.5]]})"), HasSubstr("made of counts"));
  const std::string whole = classes + R"("confusion_matrix": [[1, 2], [3, 4]], )";
  EXPECT_THAT(refusal(whole + R"("predictions": 1})"), HasSubstr("'predictions'"));
  EXPECT_THAT(refusal(whole + R"("predictions": [{"thumbnail": "\"><script>"}]})"), HasSubstr("'thumbnail'"));
  EXPECT_EQ(refusal(whole + R"("predictions": [{}]})"), "accepted");
}

TEST(TestJson, IsWrittenWholeOrNotAtAll) {
  const testing::TemporaryDirectory folder;
  ASSERT_TRUE(write_test_json(folder.file("test.json"), result()).ok());
  EXPECT_EQ(*read_file(folder.file("test.json")), test_json(result()));
  const Status nowhere = write_test_json(folder.file("none/test.json"), result());
  ASSERT_FALSE(nowhere.ok());
  EXPECT_THAT(nowhere.error().message, HasSubstr(folder.file("none/test.json")));
}

}  // namespace
}  // namespace ferrun::report
