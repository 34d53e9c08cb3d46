#include "worker/report/curves.h"

#include <cmath>

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

  // Where the curves are not: accuracies rise to the right and losses fall, so the corner is below or above.
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
    const double left = frame_.right - width - 10;
    const double top = is_lower_right_free() ? frame_.bottom - height - 10 : frame_.top + 10;
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

  // Whether the curves' right halves lie rather in the upper half of the frame.
  bool is_lower_right_free() const {
    double sum = 0;
    double count = 0;
    for (const Curve* curve : {&panel_.train, &panel_.val}) {
      for (const std::vector<CurvePoint>& stretch : curve->stretches) {
        for (const CurvePoint& point : stretch) {
          if (panel_.epochs.place(point.epoch) < 0.5) continue;
          sum += panel_.values.place(point.value);
          ++count;
        }
      }
    }
    return count > 0 && sum / count > 0.5;
  }

  Drawing& drawing_;
  cairo_t* const context_;
  const CurvePanel& panel_;
  const Frame frame_;
};

}  // namespace

Result<std::vector<uint8_t>> curves_png(const std::vector<EpochMetrics>& epochs) {
  Result<Drawing> drawing = Drawing::make(kWidth, kHeight);
  if (!drawing) return drawing.error();
  const CurveFigure figure = curve_figure(epochs);
  PanelPainter(*drawing, figure.accuracy, {66, 50, kWidth / 2 - 22, kHeight - 58}).paint();
  PanelPainter(*drawing, figure.loss, {kWidth / 2 + 66, 50, kWidth - 22, kHeight - 58}).paint();
  return drawing->png();
}

Status write_curves(const std::string& path, const std::vector<EpochMetrics>& epochs) {
  const Result<std::vector<uint8_t>> png = curves_png(epochs);
  if (!png) return png.error();
  return write_file(path, *png);
}

}  // namespace ferrun::report
