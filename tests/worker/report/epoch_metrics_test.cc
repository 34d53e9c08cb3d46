#include "worker/report/epoch_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ferrun::report {
namespace {

using ::testing::HasSubstr;

TEST(MetricsCsv, HasARowAnEpoch) {
  EXPECT_EQ(metrics_csv({}), "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy,val_f1\n");
  EXPECT_EQ(metrics_csv({{1, 1e-3, 1.5, 0.25, 2.0, 0.125}, {2, 1.0000000000000002e-5, 1, 1, 1, 1, 0.5}}),
            "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy,val_f1\n"
            "1,0.001,1.500000,0.250000,2.000000,0.125000,\n"
            "2,1e-05,1.000000,1.000000,1.000000,1.000000,0.500000\n");
}

TEST(MetricsCsv, IsReadAsItWasWritten) {
  const std::vector<EpochMetrics> epochs{{1, 1e-3, 1.5, 0.25, 2.0, 0.125}, {2, 1e-5, 1, 1, 1, 1, 0.5}};
  const auto read = parse_metrics_csv(metrics_csv(epochs), "metrics.csv");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, epochs);
}

TEST(MetricsCsv, OfOlderAndNewerVersionsIsReadToo) {
  const auto older =
      parse_metrics_csv("epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy\r\n1,0.1,2,0.5,3,0.25\r\n", "m");
  ASSERT_TRUE(older.ok()) << older.error().message;
  EXPECT_EQ(older->at(0), (EpochMetrics{1, 0.1, 2, 0.5, 3, 0.25}));
  const auto newer = parse_metrics_csv("epoch,val_f1,seconds,val_loss\n7,0.5,many,nan\n8,,9,\n", "m");
  ASSERT_TRUE(newer.ok()) << newer.error().message;
  EXPECT_EQ(newer->at(0).val_f1, 0.5);
  EXPECT_TRUE(std::isnan(newer->at(0).val_loss));
  EXPECT_TRUE(std::isnan(newer->at(1).val_loss));
  EXPECT_TRUE(std::isnan(newer->at(1).train_loss));
  EXPECT_EQ(newer->at(1).val_f1, std::nullopt);
}

TEST(MetricsCsv, ThatIsNoneIsRefusedInOneLine) {
  const auto refusal = [](const std::string& text) {
    const auto read = parse_metrics_csv(text, "runs/a/metrics.csv");
    return read.ok() ? "accepted" : read.error().message;
  };
  EXPECT_EQ(refusal(""), "runs/a/metrics.csv is empty");
  EXPECT_THAT(refusal("a,b\n1,2\n"), HasSubstr("runs/a/metrics.csv, line 1"));
  EXPECT_EQ(refusal("epoch,val_loss\n1,2\n2,much\n"), "runs/a/metrics.csv, line 3: 'much' is not a number");
  EXPECT_THAT(refusal("epoch,val_loss\nfirst,2\n"), HasSubstr("'first' is no number of an epoch"));
  EXPECT_THAT(refusal("epoch,val_loss\n1,2,3\n"), HasSubstr("more cells"));
}

TEST(BestEpoch, IsTheFirstThatTheMonitorFindsBest) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<EpochMetrics> epochs{{3, 0, 0, 0, 0.9, 0.5, 0.25},
                                         {4, 0, 0, 0, 0.7, 0.75, 0.5},
                                         {5, 0, 0, 0, nan, nan, std::nullopt},
                                         {6, 0, 0, 0, 0.5, 0.75, 0.625},
                                         {7, 0, 0, 0, 0.5, 0.5, 0.625}};
  EXPECT_EQ(best_epoch(epochs, "val_accuracy"), 4);
  EXPECT_EQ(best_epoch(epochs, "val_loss"), 6);
  EXPECT_EQ(best_epoch(epochs, "val_f1"), 6);
  EXPECT_EQ(best_epoch({}, "val_loss"), std::nullopt);
  EXPECT_EQ(best_epoch({{1, 0, 0, 0, 0, nan}}, "val_accuracy"), std::nullopt);
  EXPECT_EQ(best_epoch({{1, 0, 0, 0, 0, 1}}, "val_f1"), std::nullopt);
}

}  // namespace
}  // namespace ferrun::report
