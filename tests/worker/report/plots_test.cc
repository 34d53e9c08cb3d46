#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/temporary_directory.h"
#include "tests/worker/report/picture.h"
#include "worker/report/axis.h"
#include "worker/report/confusion_plot.h"
#include "worker/report/curve_figure.h"
#include "worker/report/curves.h"
#include "worker/report/output_file.h"

namespace ferrun::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<EpochMetrics> run_of(int count) {
  std::vector<EpochMetrics> epochs;
  for (int i = 1; i <= count; ++i) {
    epochs.push_back({i, 1e-3, 2.0 / i, 1.0 - 1.0 / i, 2.5 / i, 0.9 - 0.9 / i});
  }
  return epochs;
}

std::vector<std::string> labels_of(const Axis& axis) {
  std::vector<std::string> labels;
  for (const double tick : axis.ticks()) labels.push_back(axis.label(tick));
  return labels;
}

TEST(Axis, FitsTheDataWithTicksAtRoundSteps) {
  const Axis accuracy = value_axis({0.14, 0.98, 0.0, 1.0});
  EXPECT_THAT(labels_of(accuracy), ElementsAre("0.2", "0.4", "0.6", "0.8", "1.0"));
  EXPECT_NEAR(accuracy.low, 0.098, 1e-12);
  EXPECT_EQ(accuracy.high, 1.0);
  EXPECT_THAT(labels_of(value_axis({0.05, 2.1, 0.0, 1e300})), ElementsAre("0.0", "0.5", "1.0", "1.5", "2.0"));
  EXPECT_THAT(labels_of(value_axis({0.9931, 0.9968, 0.0, 1.0})), ElementsAre("0.993", "0.994", "0.995", "0.996"));
  EXPECT_THAT(labels_of(value_axis({100, 5200, 0.0, 1e300})), ElementsAre("0", "1000", "2000", "3000", "4000", "5000"));
}

TEST(Axis, StandsEqualAndExtremeValues) {
  for (const double value : {0.0, 1e-12, 0.5, 1.0, 3.5, 1e12, 1e300}) {
    const Axis axis = value_axis({value, value, 0.0, std::numeric_limits<double>::max()});
    EXPECT_LT(axis.low, axis.high) << value;
    EXPECT_GE(axis.low, 0.0);
    EXPECT_LE(axis.low, value);
    EXPECT_GE(axis.high, value);
    EXPECT_LE(axis.ticks().size(), 12u) << value;
  }
  EXPECT_EQ(value_axis({1.0, 1.0, 0.0, 1.0}).low, 0.999) << "an accuracy of 1 throughout still has an axis";
}

TEST(Axis, OfEpochsHasWholeNumbers) {
  EXPECT_THAT(labels_of(epoch_axis(1, 1, 10)), ElementsAre("1"));
  EXPECT_THAT(labels_of(epoch_axis(1, 2, 10)), ElementsAre("1", "2"));
  EXPECT_THAT(labels_of(epoch_axis(1, 10, 10)), ElementsAre("1", "2", "3", "4", "5", "6", "7", "8", "9", "10"));
  EXPECT_THAT(labels_of(epoch_axis(1, 30, 10)), ElementsAre("5", "10", "15", "20", "25", "30"));
  EXPECT_THAT(labels_of(epoch_axis(1, 120, 10)), ElementsAre("20", "40", "60", "80", "100", "120"));
  EXPECT_THAT(labels_of(epoch_axis(7, 9, 10)), ElementsAre("7", "8", "9"));
}

TEST(CurveFigure, LeavesGapsWhereAnEpochHasNoValue) {
  auto epochs = run_of(6);
  epochs[1].val_loss = kNan;
  epochs.erase(epochs.begin() + 3);
  const CurveFigure figure = curve_figure(epochs, std::nullopt);
  const auto epochs_of = [](const Curve& curve) {
    std::vector<std::vector<int>> stretches;
    for (const auto& stretch : curve.stretches) {
      stretches.emplace_back();
      for (const CurvePoint& point : stretch) stretches.back().push_back(static_cast<int>(point.epoch));
    }
    return stretches;
  };
  EXPECT_EQ(epochs_of(figure.loss.val), (std::vector<std::vector<int>>{{1}, {3}, {5, 6}}));
  EXPECT_EQ(epochs_of(figure.loss.train), (std::vector<std::vector<int>>{{1, 2, 3}, {5, 6}}));
}

TEST(CurveFigure, MarksTheBestEpochInBothPanels) {
  auto epochs = run_of(5);
  epochs[2].val_accuracy = 0.99;
  const CurveFigure figure = curve_figure(epochs, 3);
  EXPECT_EQ(figure.best_epoch, 3);
  EXPECT_EQ(figure.accuracy.best->value, 0.99);
  EXPECT_EQ(figure.loss.best->value, epochs[2].val_loss);
}

TEST(Curves, DrawBothCurvesInBothPanels) {
  const data::Image image = picture_of(curves_png(run_of(12), 1));
  EXPECT_EQ(image.width, 1800);
  EXPECT_EQ(image.height, 690);
  for (const Ink& ink : {kTrainInk, kValInk}) {
    EXPECT_GT(count_ink(image, ink, 0, 900), 400);
    EXPECT_GT(count_ink(image, ink, 900, 1800), 400);
  }
}

// Nothing is drawn between two stretches: the gap's columns hold no ink of the curve.
TEST(Curves, AreBrokenWhereTheFigureIs) {
  auto epochs = run_of(11);
  const data::Image whole = picture_of(curves_png(epochs, 1));
  for (int i = 4; i <= 6; ++i)
    epochs[static_cast<size_t>(i)].train_loss = epochs[static_cast<size_t>(i)].train_accuracy = kNan;
  const data::Image broken = picture_of(curves_png(epochs, 1));
  const int middle = (66 + 578) / 2 * 3 / 2;  // of the left panel's frame, in pixels: epoch 6
  EXPECT_GT(count_ink(whole, kTrainInk, middle - 20, middle + 20), 20);
  EXPECT_EQ(count_ink(broken, kTrainInk, middle - 20, middle + 20), 0);
}

// Of curves that end in a corner, the last point is seen: the legend is elsewhere.
TEST(Curves, AreNotHiddenByTheLegend) {
  const std::vector<EpochMetrics> rising{{1, 1, 2.1, 0.20, 1.95, 0.14},
                                         {2, 1, 2.0, 0.16, 1.96, 0.14},
                                         {3, 1, 1.9, 0.22, 1.96, 0.14},
                                         {4, 1, 1.8, 0.30, 1.81, 0.18}};
  const data::Image image = picture_of(curves_png(rising, 1));
  EXPECT_GT(count_ink(image, kTrainInk, 820, 860), 60) << "accuracy of the last epoch, in the upper right corner";
}

TEST(Curves, StandNoEpochAndValuesThatAreNone) {
  EXPECT_GT(picture_of(curves_png({}, 1)).width, 0);
  EXPECT_GT(picture_of(curves_png(run_of(1), 1)).width, 0);
  auto epochs = run_of(3);
  for (EpochMetrics& epoch : epochs) epoch.val_loss = epoch.val_accuracy = kNan;
  epochs[1].train_loss = std::numeric_limits<double>::infinity();
  EXPECT_GT(count_ink(picture_of(curves_png(epochs, 1)), kTrainInk, 0, 900), 0);
}

TEST(Curves, AreTheSameBytesForTheSameNumbers) { EXPECT_EQ(*curves_png(run_of(9), 1), *curves_png(run_of(9), 1)); }

TEST(Curves, SayWhereTheyCannotBeWritten) {
  const testing::TemporaryDirectory folder;
  EXPECT_TRUE(write_curves(folder.file("a.png"), run_of(3), 1).ok());
  const Status nowhere = write_curves(folder.file("none/a.png"), run_of(3), 1);
  ASSERT_FALSE(nowhere.ok());
  EXPECT_THAT(nowhere.error().message, HasSubstr(folder.file("none/a.png")));
}

ConfusionMatrix square(size_t classes, const std::string& name, int64_t hits) {
  ConfusionMatrix confusion;
  for (size_t i = 0; i < classes; ++i) {
    confusion.classes.push_back(name + " " + std::to_string(i));
    for (size_t j = 0; j < classes; ++j) confusion.counts.push_back(i == j ? hits : static_cast<int64_t>((i + j) % 3));
  }
  return confusion;
}

TEST(ConfusionPlot, DrawsFromTwoToManyClasses) {
  int width = 0;
  for (const size_t classes : {1, 2, 7, 30}) {
    const data::Image image = picture_of(confusion_png(square(classes, "class", 100)));
    EXPECT_GE(image.width, width) << classes;
    width = image.width;
  }
  EXPECT_GT(picture_of(confusion_png(square(150, "class", 100))).width, 1000);
}

TEST(ConfusionPlot, StandsNamesOfAnyKindAndEmptyRows) {
  ConfusionMatrix confusion{{"سعيد", "n\xff\n\x01", std::string(2000, 'w'), ""}, std::vector<int64_t>(16, 0)};
  const data::Image empty = picture_of(confusion_png(confusion));
  EXPECT_LT(empty.width, 3000) << "a name of any length leaves room for the matrix";
  confusion.counts[0] = int64_t{1} << 40;
  EXPECT_EQ(picture_of(confusion_png(confusion)).width, empty.width);
}

TEST(Thumbnail, IsASmallPictureOfTheSameColours) {
  const std::vector<uint8_t> red_then_blue = [] {
    std::vector<uint8_t> pixels;
    for (int y = 0; y < 100; ++y) {
      for (int x = 0; x < 200; ++x)
        pixels.insert(pixels.end(),
                      {static_cast<uint8_t>(x < 100 ? 250 : 0), 0, static_cast<uint8_t>(x < 100 ? 0 : 240)});
    }
    return pixels;
  }();
  const data::Image small = picture_of(thumbnail_png(red_then_blue, 200, 100, 64));
  EXPECT_EQ(small.width, 64);
  EXPECT_EQ(small.height, 32);
  EXPECT_EQ(count_ink(small, {250 / 255.0, 0, 0}, 0, 30), 30 * 32);
  EXPECT_EQ(count_ink(small, {0, 0, 240 / 255.0}, 34, 64), 30 * 32);
  EXPECT_EQ(picture_of(thumbnail_png({1, 2, 3}, 1, 1, 64)).pixels, (std::vector<uint8_t>{1, 2, 3}));
  EXPECT_FALSE(thumbnail_png({1, 2, 3}, 2, 1, 64).ok());
}

}  // namespace
}  // namespace ferrun::report
