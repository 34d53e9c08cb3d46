#include "worker/report/curves.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "worker/report/curve_figure.h"
#include "worker/report/output_file.h"

namespace ferrun::report {
namespace {

constexpr double kWidth = 1200;
constexpr double kHeight = 460;
constexpr size_t kMostMarkedPoints = 40;  // more dots than that would hide the line

struct Frame {
  double left;
  double top;
  double right;
  double bottom;
};

class PanelPainter {
 public:
  PanelPainter(Drawing& drawing, const CurvePanel& panel, const Frame& frame)
      : drawing_(drawing), context_(drawing.context()), panel_(panel), frame_(frame) {}

  void paint() {
    paint_grid();
    cairo_save(context_);
    cairo_rectangle(context_, frame_.left, frame_.top, frame_.right - frame_.left, frame_.bottom - frame_.top);
    cairo_clip(context_);
    paint_curve(panel_.train, kTrainInk);
    paint_curve(panel_.val, kValInk);
    cairo_restore(context_);
    if (panel_.best) paint_best();
    paint_frame();
    paint_legend();
  }

 private:
  double x_of(double epoch) const { return frame_.left + panel_.epochs.place(epoch) * (frame_.right - frame_.left); }
  double y_of(double value) const { return frame_.bottom - panel_.values.place(value) * (frame_.bottom - frame_.top); }

  void line(double x0, double y0, double x1, double y1) {
    cairo_move_to(context_, x0, y0);
    cairo_line_to(context_, x1, y1);
    cairo_stroke(context_);
  }

  void paint_grid() {
    const TextStyle small{.size = 12};
    cairo_set_line_width(context_, 1);
    for (const double tick : panel_.values.ticks()) {
      drawing_.set_ink(kGridInk);
      line(frame_.left, y_of(tick), frame_.right, y_of(tick));
      drawing_.text(frame_.left - 9, y_of(tick), panel_.values.label(tick), small, {1, 0.5});
      drawing_.set_ink(kTextInk);
      line(frame_.left - 4, y_of(tick), frame_.left, y_of(tick));
    }
    for (const double tick : panel_.epochs.ticks()) {
      drawing_.set_ink(kGridInk);
      line(x_of(tick), frame_.top, x_of(tick), frame_.bottom);
      drawing_.text(x_of(tick), frame_.bottom + 7, panel_.epochs.label(tick), small, {0.5, 0});
      drawing_.set_ink(kTextInk);
      line(x_of(tick), frame_.bottom, x_of(tick), frame_.bottom + 4);
    }
  }

  void paint_curve(const Curve& curve, const Ink& ink) {
    size_t points = 0;
    for (const std::vector<CurvePoint>& stretch : curve.stretches) points += stretch.size();
    drawing_.set_ink(ink);
    cairo_set_line_width(context_, 2);
    cairo_set_line_join(context_, CAIRO_LINE_JOIN_ROUND);
    for (const std::vector<CurvePoint>& stretch : curve.stretches) {
      cairo_new_path(context_);
      for (const CurvePoint& point : stretch) cairo_line_to(context_, x_of(point.epoch), y_of(point.value));
      cairo_stroke(context_);
      if (points > kMostMarkedPoints && stretch.size() > 1) continue;
      for (const CurvePoint& point : stretch) dot(point, 3);
    }
  }

  void dot(const CurvePoint& point, double radius) {
    cairo_new_path(context_);
    cairo_arc(context_, x_of(point.epoch), y_of(point.value), radius, 0, 2 * M_PI);
    cairo_fill(context_);
  }

  // A dashed line through the epoch, and a ring about its point of the validation curve.
  void paint_best() {
    const double x = x_of(panel_.best->epoch);
    const double dashes[] = {4, 4};
    cairo_save(context_);
    drawing_.set_ink(kTextInk, 0.55);
    cairo_set_line_width(context_, 1);
    cairo_set_dash(context_, dashes, 2, 0);
    line(x, frame_.top, x, frame_.bottom);
    cairo_restore(context_);
    const double y = y_of(panel_.best->value);
    cairo_new_path(context_);
    cairo_arc(context_, x, y, 5.5, 0, 2 * M_PI);
    cairo_set_source_rgb(context_, 1, 1, 1);
    cairo_fill_preserve(context_);
    drawing_.set_ink(kValInk);
    cairo_set_line_width(context_, 2.2);
    cairo_stroke(context_);
  }

  void paint_frame() {
    drawing_.set_ink(kTextInk);
    cairo_set_line_width(context_, 1);
    cairo_rectangle(context_, frame_.left, frame_.top, frame_.right - frame_.left, frame_.bottom - frame_.top);
    cairo_stroke(context_);
    const double middle = (frame_.left + frame_.right) / 2;
    drawing_.text(middle, frame_.top - 20, panel_.title, {.size = 17, .bold = true}, {0.5, 0.5});
    drawing_.text(middle, frame_.bottom + 38, "Epoch", {.size = 13}, {0.5, 0.5});
  }

  void paint_legend() {
    struct Entry {
      std::string words;
      Ink ink;
      bool is_best;
    };
    std::vector<Entry> entries{{panel_.train.name, kTrainInk, false}, {panel_.val.name, kValInk, false}};
    if (panel_.best) {
      entries.push_back({"best epoch: " + std::to_string(static_cast<int64_t>(panel_.best->epoch)), kValInk, true});
    }
    constexpr double kRow = 21;
    const TextStyle style{.size = 12.5};
    double text_width = 0;
    for (const Entry& entry : entries) text_width = std::max(text_width, drawing_.text_width(entry.words, style));
    const double width = text_width + 54;
    const double height = kRow * static_cast<double>(entries.size()) + 8;
    const auto [left, top] = free_corner(width, height);
    cairo_rectangle(context_, left, top, width, height);
    cairo_set_source_rgba(context_, 1, 1, 1, 0.88);
    cairo_fill_preserve(context_);
    drawing_.set_ink(kGridInk);
    cairo_set_line_width(context_, 1);
    cairo_stroke(context_);
    for (size_t i = 0; i < entries.size(); ++i) {
      const double y = top + 4 + kRow * (static_cast<double>(i) + 0.5);
      drawing_.set_ink(entries[i].ink);
      cairo_set_line_width(context_, 2.2);
      if (entries[i].is_best) {
        cairo_new_path(context_);
        cairo_arc(context_, left + 22, y, 5, 0, 2 * M_PI);
        cairo_stroke(context_);
      } else {
        line(left + 10, y, left + 34, y);
      }
      drawing_.text(left + 42, y, entries[i].words, style);
    }
  }

  // The left upper point of a box of that size in the corner where it hides least of the curves.
  std::pair<double, double> free_corner(double width, double height) const {
    constexpr double kMargin = 10;
    const double left = frame_.left + kMargin;
    const double right = frame_.right - width - kMargin;
    const double top = frame_.top + kMargin;
    const double bottom = frame_.bottom - height - kMargin;
    std::pair<double, double> best{right, bottom};
    int least = std::numeric_limits<int>::max();
    for (const std::pair<double, double>& corner :
         {std::pair{right, bottom}, {right, top}, {left, top}, {left, bottom}}) {
      const int hidden = hidden_by({corner.first, corner.second, corner.first + width, corner.second + height});
      if (hidden < least) {
        least = hidden;
        best = corner;
      }
    }
    return best;
  }

  // How many of the places along the curves lie in the box.
  int hidden_by(const Frame& box) const {
    constexpr int kPlaces = 16;  // of each line between two epochs
    int hidden = 0;
    for (const Curve* curve : {&panel_.train, &panel_.val}) {
      for (const std::vector<CurvePoint>& stretch : curve->stretches) {
        for (size_t i = 0; i < stretch.size(); ++i) {
          const CurvePoint& from = stretch[i == 0 ? 0 : i - 1];
          for (int place = 1; place <= kPlaces; ++place) {
            const double part = static_cast<double>(place) / kPlaces;
            const double x = x_of(from.epoch + (stretch[i].epoch - from.epoch) * part);
            const double y = y_of(from.value + (stretch[i].value - from.value) * part);
            hidden += x > box.left - 5 && x < box.right + 5 && y > box.top - 5 && y < box.bottom + 5 ? 1 : 0;
          }
        }
      }
    }
    return hidden;
  }

  Drawing& drawing_;
  cairo_t* const context_;
  const CurvePanel& panel_;
  const Frame frame_;
};

}  // namespace

Result<std::vector<uint8_t>> curves_png(const std::vector<EpochMetrics>& epochs, std::optional<int64_t> best) {
  Result<Drawing> drawing = Drawing::make(kWidth, kHeight);
  if (!drawing) return drawing.error();
  const CurveFigure figure = curve_figure(epochs, best);
  PanelPainter(*drawing, figure.accuracy, {66, 50, kWidth / 2 - 22, kHeight - 58}).paint();
  PanelPainter(*drawing, figure.loss, {kWidth / 2 + 66, 50, kWidth - 22, kHeight - 58}).paint();
  return drawing->png();
}

Status write_curves(const std::string& path, const std::vector<EpochMetrics>& epochs, std::optional<int64_t> best) {
  const Result<std::vector<uint8_t>> png = curves_png(epochs, best);
  if (!png) return png.error();
  return write_file(path, *png);
}

}  // namespace ferrun::report
