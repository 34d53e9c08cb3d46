// A chart as SVG within a page, whose style sheet gives the colours. Pure.
#pragma once

#include <string>

#include "worker/report/curve_figure.h"

namespace ferrun::report {

// One <svg> element. Its classes: grid, tick, frame, train, val, best. Every point has its numbers as a <title>.
std::string curve_svg(const CurvePanel& panel);

}  // namespace ferrun::report
