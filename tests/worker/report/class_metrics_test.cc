#include "worker/report/class_metrics.h"

#include <gtest/gtest.h>

namespace ferrun::report {
namespace {

ConfusionMatrix matrix(std::vector<std::string> classes, std::vector<int64_t> counts) {
  auto made = ConfusionMatrix::make(std::move(classes), std::move(counts));
  EXPECT_TRUE(made.ok());
  return *made;
}

TEST(ConfusionMatrix, HasRowsOfTrueClasses) {
  const ConfusionMatrix confusion = matrix({"a", "b"}, {3, 1, 0, 4});
  EXPECT_EQ(confusion.at(0, 1), 1);
  EXPECT_EQ(confusion.row_sum(0), 4);
  EXPECT_EQ(confusion.column_sum(0), 3);
  EXPECT_EQ(confusion.total(), 8);
}

TEST(ConfusionMatrix, RefusesWhatIsNoSquareOfCounts) {
  EXPECT_FALSE(ConfusionMatrix::make({}, {}).ok());
  EXPECT_FALSE(ConfusionMatrix::make({"a", "b"}, {1, 2, 3}).ok());
  EXPECT_FALSE(ConfusionMatrix::make({"a"}, {-1}).ok());
}

TEST(ClassMetrics, AreThoseOfTheDefinitions) {
  const ClassMetrics metrics = ClassMetrics::of(matrix({"a", "b"}, {3, 1, 0, 4}));
  EXPECT_EQ(metrics.samples, 8);
  EXPECT_DOUBLE_EQ(metrics.accuracy, 7.0 / 8);
  EXPECT_DOUBLE_EQ(metrics.classes[0].precision, 1.0);
  EXPECT_DOUBLE_EQ(metrics.classes[0].recall, 0.75);
  EXPECT_DOUBLE_EQ(metrics.classes[0].f1, 6.0 / 7);
  EXPECT_DOUBLE_EQ(metrics.classes[1].precision, 0.8);
  EXPECT_DOUBLE_EQ(metrics.classes[1].f1, 8.0 / 9);
  EXPECT_EQ(metrics.classes[1].support, 4);
  EXPECT_DOUBLE_EQ(metrics.macro_f1, (6.0 / 7 + 8.0 / 9) / 2);
}

TEST(ClassMetrics, OfAClassThatIsNeverPredictedAreZero) {
  const ClassMetrics metrics = ClassMetrics::of(matrix({"a", "b"}, {4, 0, 2, 0}));
  EXPECT_EQ(metrics.classes[1].precision, 0.0);
  EXPECT_EQ(metrics.classes[1].recall, 0.0);
  EXPECT_EQ(metrics.classes[1].f1, 0.0);
  EXPECT_DOUBLE_EQ(metrics.macro_f1, 0.4);
}

TEST(ClassMetrics, AverageOverTheClassesThatOccur) {
  const ClassMetrics metrics = ClassMetrics::of(matrix({"a", "absent", "b"}, {4, 0, 0, 0, 0, 0, 0, 0, 4}));
  EXPECT_EQ(metrics.macro_f1, 1.0) << "nothing is said of a class without samples and without predictions";
  EXPECT_EQ(metrics.classes[1].f1, 0.0);
}

TEST(ClassMetrics, OfNoSamplesAreZero) {
  const ClassMetrics metrics = ClassMetrics::of(matrix({"a"}, {0}));
  EXPECT_EQ(metrics.accuracy, 0.0);
  EXPECT_EQ(metrics.macro_f1, 0.0);
  EXPECT_EQ(metrics.weighted_f1, 0.0);
}

TEST(MetricsTable, LinesItsColumnsUpInAnyScript) {
  EXPECT_EQ(metrics_table(ClassMetrics::of(matrix({"happy", "怒り", "s\x1b[31mad"}, {3, 1, 0, 0, 4, 0, 1, 1, 0}))),
            "                  precision     recall         f1    support\n"
            "happy                 0.750      0.750      0.750          4\n"
            "怒り                  0.667      1.000      0.800          4\n"
            "sad                   0.000      0.000      0.000          2\n"
            "\n"
            "macro average         0.472      0.583      0.517         10\n"
            "weighted average      0.567      0.700      0.620         10\n"
            "accuracy                                    0.700         10\n");
}

}  // namespace
}  // namespace ferrun::report
