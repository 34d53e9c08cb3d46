#include "worker/report/curve_svg.h"

#include "worker/report/html_text.h"

namespace ferrun::report {
namespace {

constexpr double kSvgWidth = 560;
constexpr double kSvgHeight = 340;
constexpr double kSvgLeft = 52;
constexpr double kSvgTop = 12;
constexpr double kSvgRight = kSvgWidth - 12;
constexpr double kSvgBottom = kSvgHeight - 44;
constexpr size_t kMostDots = 60;

std::string x_at(const CurvePanel& panel, double epoch) {
  return fixed(kSvgLeft + panel.epochs.place(epoch) * (kSvgRight - kSvgLeft), 1);
}

std::string y_at(const CurvePanel& panel, double value) {
  return fixed(kSvgBottom - panel.values.place(value) * (kSvgBottom - kSvgTop), 1);
}

std::string svg_line(const std::string& kind, const std::string& x0, const std::string& y0, const std::string& x1,
                     const std::string& y1) {
  return "<line class=\"" + kind + "\" x1=\"" + x0 + "\" y1=\"" + y0 + "\" x2=\"" + x1 + "\" y2=\"" + y1 + "\"/>";
}

std::string svg_text(const std::string& kind, const std::string& x, const std::string& y, const std::string& words) {
  return "<text class=\"" + kind + "\" x=\"" + x + "\" y=\"" + y + "\">" + escaped(words) + "</text>";
}

std::string svg_axes(const CurvePanel& panel) {
  const std::string left = fixed(kSvgLeft, 1);
  const std::string right = fixed(kSvgRight, 1);
  const std::string top = fixed(kSvgTop, 1);
  const std::string bottom = fixed(kSvgBottom, 1);
  std::string svg;
  for (const double tick : panel.values.ticks()) {
    const std::string y = y_at(panel, tick);
    svg +=
        svg_line("grid", left, y, right, y) + svg_text("tick y", fixed(kSvgLeft - 8, 1), y, panel.values.label(tick));
  }
  for (const double tick : panel.epochs.ticks()) {
    const std::string x = x_at(panel, tick);
    svg += svg_line("grid", x, top, x, bottom) +
           svg_text("tick x", x, fixed(kSvgBottom + 17, 1), panel.epochs.label(tick));
  }
  svg += "<rect class=\"frame\" x=\"" + left + "\" y=\"" + top + "\" width=\"" + fixed(kSvgRight - kSvgLeft, 1) +
         "\" height=\"" + fixed(kSvgBottom - kSvgTop, 1) + "\"/>";
  return svg + svg_text("tick x", fixed((kSvgLeft + kSvgRight) / 2, 1), fixed(kSvgHeight - 8, 1), "epoch");
}

std::string svg_curve(const CurvePanel& panel, const Curve& curve, const std::string& kind) {
  size_t points = 0;
  for (const std::vector<CurvePoint>& stretch : curve.stretches) points += stretch.size();
  std::string svg;
  for (const std::vector<CurvePoint>& stretch : curve.stretches) {
    std::string line;
    std::string dots;
    const bool dotted = points <= kMostDots || stretch.size() == 1;
    for (const CurvePoint& point : stretch) {
      const std::string x = x_at(panel, point.epoch);
      const std::string y = y_at(panel, point.value);
      line += (line.empty() ? "" : " ") + x + "," + y;
      dots += "<circle class=\"" + std::string(dotted ? "dot " : "hover ") + kind + "\" cx=\"" + x + "\" cy=\"" + y +
              "\" r=\"" + (dotted ? "2.6" : "4") + "\"><title>" + escaped(curve.name) + ", epoch " +
              fixed(point.epoch, 0) + ": " + fixed(point.value, 4) + "</title></circle>";
    }
    svg += "<polyline class=\"line " + kind + "\" points=\"" + line + "\"/>" + dots;
  }
  return svg;
}

}  // namespace

std::string curve_svg(const CurvePanel& panel) {
  std::string svg = "<svg viewBox=\"0 0 " + fixed(kSvgWidth, 0) + " " + fixed(kSvgHeight, 0) +
                    "\" role=\"img\" aria-label=\"" + escaped(panel.title) + " of training and validation\">";
  svg += svg_axes(panel);
  if (panel.best) {
    const std::string x = x_at(panel, panel.best->epoch);
    svg += svg_line("best", x, fixed(kSvgTop, 1), x, fixed(kSvgBottom, 1));
  }
  svg += svg_curve(panel, panel.train, "train") + svg_curve(panel, panel.val, "val");
  if (panel.best) {
    svg += "<circle class=\"best\" cx=\"" + x_at(panel, panel.best->epoch) + "\" cy=\"" +
           y_at(panel, panel.best->value) + "\" r=\"5.5\"><title>best epoch, " + fixed(panel.best->epoch, 0) + ": " +
           fixed(panel.best->value, 4) + "</title></circle>";
  }
  return svg + "</svg>";
}

}  // namespace ferrun::report
