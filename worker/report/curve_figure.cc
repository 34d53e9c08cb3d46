#include "worker/report/curve_figure.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ferrun::report {
namespace {

using Member = double EpochMetrics::*;

Curve curve_of(const std::string& name, const std::vector<EpochMetrics>& epochs, Member member) {
  Curve curve{name, {}};
  std::optional<int64_t> before;
  for (const EpochMetrics& epoch : epochs) {
    const double value = epoch.*member;
    if (!std::isfinite(value)) continue;
    if (!before || epoch.epoch != *before + 1) curve.stretches.emplace_back();
    curve.stretches.back().push_back({static_cast<double>(epoch.epoch), value});
    before = epoch.epoch;
  }
  return curve;
}

// `fallback` where there is no value at all.
Axis axis_of(std::initializer_list<const Curve*> curves, double ceiling, Axis fallback) {
  ValueRange range{std::numeric_limits<double>::max(), std::numeric_limits<double>::lowest(), 0.0, ceiling};
  for (const Curve* curve : curves) {
    for (const std::vector<CurvePoint>& stretch : curve->stretches) {
      for (const CurvePoint& point : stretch) {
        range.low = std::min(range.low, point.value);
        range.high = std::max(range.high, point.value);
      }
    }
  }
  return range.low <= range.high ? value_axis(range) : fallback;
}

CurvePanel panel_of(const std::string& title, const std::vector<EpochMetrics>& epochs, Member train, Member val,
                    double ceiling, std::optional<int64_t> best) {
  CurvePanel panel;
  panel.title = title;
  panel.train = curve_of("train", epochs, train);
  panel.val = curve_of("val", epochs, val);
  panel.epochs = epochs.empty() ? epoch_axis(1, 1, 2) : epoch_axis(epochs.front().epoch, epochs.back().epoch, 10);
  panel.values = axis_of({&panel.train, &panel.val}, ceiling, Axis{});
  for (const EpochMetrics& epoch : epochs) {
    if (epoch.epoch == best && std::isfinite(epoch.*val)) {
      panel.best = CurvePoint{static_cast<double>(epoch.epoch), epoch.*val};
    }
  }
  return panel;
}

}  // namespace

CurveFigure curve_figure(const std::vector<EpochMetrics>& epochs, std::optional<int64_t> best) {
  return {panel_of("Accuracy", epochs, &EpochMetrics::train_accuracy, &EpochMetrics::val_accuracy, 1.0, best),
          panel_of("Loss", epochs, &EpochMetrics::train_loss, &EpochMetrics::val_loss,
                   std::numeric_limits<double>::max(), best),
          best};
}

}  // namespace ferrun::report
