#include "worker/train/curves.h"

#include <gtest/gtest.h>

#include <limits>

namespace ferrun::train {
namespace {

std::vector<EpochMetrics> epochs(int count) {
  std::vector<EpochMetrics> list;
  for (int i = 1; i <= count; ++i) {
    list.push_back({i, 1e-3, 2.0 / i, 1.0 - 1.0 / i, 2.5 / i, 0.9 - 0.9 / i});
  }
  return list;
}

int count(const Canvas& canvas, Colour colour, int left, int right) {
  int pixels = 0;
  for (int y = 0; y < canvas.height(); ++y) {
    for (int x = left; x < right; ++x) {
      pixels += canvas.at(x, y) == colour ? 1 : 0;
    }
  }
  return pixels;
}

TEST(Curves, DrawBothCurvesInBothPanels) {
  const Canvas canvas = draw_curves(epochs(12));
  const int middle = canvas.width() / 2;
  for (const Colour colour : {kTrainColour, kValColour}) {
    EXPECT_GT(count(canvas, colour, 0, middle), 400);
    EXPECT_GT(count(canvas, colour, middle, canvas.width()), 400);
  }
}

// A curve that rises ends higher than it began: rows count from the top.
TEST(Curves, GoUpWithTheNumbers) {
  const Canvas canvas = draw_curves(epochs(12));
  const auto row_of = [&](int x) {
    for (int y = 60; y < canvas.height(); ++y) {
      if (canvas.at(x, y) == kTrainColour) return y;
    }
    return -1;
  };
  EXPECT_GT(row_of(62), row_of(canvas.width() / 2 - 25));
}

TEST(Curves, StandOneEpochAndInfiniteLosses) {
  EXPECT_GT(draw_curves(epochs(1)).width(), 0);
  auto broken = epochs(3);
  broken[1].train_loss = std::numeric_limits<double>::infinity();
  broken[2].val_loss = std::numeric_limits<double>::quiet_NaN();
  EXPECT_GT(count(draw_curves(broken), kValColour, 0, 500), 0);
}

}  // namespace
}  // namespace ferrun::train
