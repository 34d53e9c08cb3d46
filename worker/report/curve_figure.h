// What the picture of a run's curves shows, before anything is drawn: the PNG and the page's SVG are both made from it.
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "worker/report/axis.h"
#include "worker/report/epoch_metrics.h"

namespace ferrun::report {

struct CurvePoint {
  double epoch = 0.0;
  double value = 0.0;
};

// One curve. Where an epoch has no finite value, or is missing, a new stretch begins: the gap is seen.
struct Curve {
  std::string name;
  std::vector<std::vector<CurvePoint>> stretches;  // none of them empty
};

struct CurvePanel {
  std::string title;
  Axis epochs;
  Axis values;
  Curve train;
  Curve val;
  std::optional<CurvePoint> best;  // on the validation curve
};

struct CurveFigure {
  CurvePanel accuracy;
  CurvePanel loss;
  std::optional<int64_t> best_epoch;
};

// Of any epochs, none included; they are in rising order. `best`: the number of the epoch to mark, if any.
CurveFigure curve_figure(const std::vector<EpochMetrics>& epochs, std::optional<int64_t> best);

}  // namespace ferrun::report
