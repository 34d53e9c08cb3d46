#include "worker/report/confusion_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "worker/report/drawing.h"
#include "worker/report/output_file.h"

namespace ferrun::report {
namespace {

constexpr double kLongestName = 420;
constexpr double kLeastReadableCell = 24;

// From white to a dark blue; the colours between are those of matplotlib's "Blues", in which seven steps are told
// apart also without colour.
Ink shade(double share) {
  constexpr Ink kStops[] = {{0.969, 0.984, 1.0},   {0.871, 0.922, 0.969}, {0.776, 0.859, 0.937},
                            {0.620, 0.792, 0.882}, {0.420, 0.682, 0.839}, {0.259, 0.573, 0.776},
                            {0.129, 0.443, 0.710}, {0.031, 0.318, 0.612}, {0.031, 0.188, 0.420}};
  const double place = std::clamp(share, 0.0, 1.0) * 8;
  const int stop = std::min(7, static_cast<int>(place));
  const double part = place - stop;
  const auto mix = [part](double a, double b) { return a + (b - a) * part; };
  const Ink& low = kStops[stop];
  const Ink& high = kStops[stop + 1];
  return {mix(low.red, high.red), mix(low.green, high.green), mix(low.blue, high.blue)};
}

struct Grid {
  double cell;
  double left;
  double top;
  bool vertical_names;
};

double cell_size(size_t classes) {
  if (classes <= 4) return 104;
  if (classes <= 8) return 78;
  if (classes <= 14) return 58;
  if (classes <= 60) return 46;
  return std::max(3.0, 2760.0 / static_cast<double>(classes));
}

TextStyle name_style(double cell) {
  TextStyle style;
  style.size = std::min(13.5, std::max(cell * 0.8, 3.0));
  style.max_width = kLongestName;
  return style;
}

double longest_name(Drawing& drawing, const ConfusionMatrix& confusion, const TextStyle& style) {
  double longest = 0;
  for (const std::string& name : confusion.classes) longest = std::max(longest, drawing.text_width(name, style));
  return std::min(longest, kLongestName);
}

void paint_cell(Drawing& drawing, const ConfusionMatrix& confusion, const Grid& grid, size_t truth, size_t prediction) {
  const int64_t count = confusion.at(truth, prediction);
  const int64_t row = confusion.row_sum(truth);
  const double share = row > 0 ? static_cast<double>(count) / static_cast<double>(row) : 0.0;
  const double x = grid.left + grid.cell * static_cast<double>(prediction);
  const double y = grid.top + grid.cell * static_cast<double>(truth);
  cairo_rectangle(drawing.context(), x, y, grid.cell, grid.cell);
  drawing.set_ink(shade(share));
  cairo_fill(drawing.context());
  if (grid.cell < kLeastReadableCell) return;
  const Ink ink = share > 0.55 ? Ink{1, 1, 1} : count == 0 ? Ink{0.55, 0.58, 0.62} : kTextInk;
  const double size = std::clamp(grid.cell * 0.24, 11.0, 19.0);
  char percent[16] = "–";  // no sample of the class
  if (row > 0) std::snprintf(percent, sizeof percent, grid.cell < 58 ? "%.0f%%" : "%.1f%%", share * 100);
  const double room = grid.cell - 4;
  const bool is_hit = truth == prediction;
  drawing.text(x + grid.cell / 2, y + grid.cell * 0.36, std::to_string(count),
               {.size = size, .bold = is_hit, .ink = ink, .max_width = room, .shrink = true}, {0.5, 0.5});
  drawing.text(x + grid.cell / 2, y + grid.cell * 0.70, percent,
               {.size = std::max(9.5, size * 0.68), .ink = ink, .max_width = room, .shrink = true}, {0.5, 0.5});
}

void paint_names(Drawing& drawing, const ConfusionMatrix& confusion, const Grid& grid) {
  TextStyle style = name_style(grid.cell);
  const double extent = grid.cell * static_cast<double>(confusion.size());
  for (size_t i = 0; i < confusion.size(); ++i) {
    const double middle = grid.cell * (static_cast<double>(i) + 0.5);
    style.vertical = false;
    drawing.text(grid.left - 9, grid.top + middle, confusion.classes[i], style, {1, 0.5});
    style.vertical = grid.vertical_names;
    drawing.text(grid.left + middle, grid.top + extent + 9, confusion.classes[i], style, {0.5, 0.0});
  }
}

void paint_lines(Drawing& drawing, size_t classes, const Grid& grid) {
  if (grid.cell < kLeastReadableCell) return;
  const double extent = grid.cell * static_cast<double>(classes);
  cairo_set_line_width(drawing.context(), 1);
  drawing.set_ink(kGridInk);
  for (size_t i = 1; i < classes; ++i) {
    const double at = grid.cell * static_cast<double>(i);
    cairo_move_to(drawing.context(), grid.left, grid.top + at);
    cairo_rel_line_to(drawing.context(), extent, 0);
    cairo_move_to(drawing.context(), grid.left + at, grid.top);
    cairo_rel_line_to(drawing.context(), 0, extent);
  }
  cairo_stroke(drawing.context());
}

// The shades and what they mean, at the right.
void paint_scale(Drawing& drawing, const Grid& grid, double extent) {
  const double left = grid.left + extent + 22;
  constexpr double kWide = 14;
  constexpr int kSteps = 120;
  for (int i = 0; i < kSteps; ++i) {
    const double height = extent / kSteps;
    cairo_rectangle(drawing.context(), left, grid.top + extent - height * (i + 1), kWide, height + 0.5);
    drawing.set_ink(shade((i + 0.5) / kSteps));
    cairo_fill(drawing.context());
  }
  drawing.set_ink(kGridInk);
  cairo_set_line_width(drawing.context(), 1);
  cairo_rectangle(drawing.context(), left, grid.top, kWide, extent);
  cairo_stroke(drawing.context());
  for (int percent = 0; percent <= 100; percent += 25) {
    const double y = grid.top + extent * (1 - percent / 100.0);
    drawing.text(left + kWide + 7, y, std::to_string(percent) + "%", {.size = 11.5});
  }
}

std::string heading(const ConfusionMatrix& confusion) {
  const ClassMetrics metrics = ClassMetrics::of(confusion);
  char words[160];
  std::snprintf(words, sizeof words, "accuracy %.1f%%, macro F1 %.3f, %lld samples", metrics.accuracy * 100,
                metrics.macro_f1, static_cast<long long>(metrics.samples));
  return words;
}

}  // namespace

Result<std::vector<uint8_t>> confusion_png(const ConfusionMatrix& confusion) {
  Result<Drawing> scratch = Drawing::make(1, 1);  // to measure the names, before the size is known
  if (!scratch) return scratch.error();
  Grid grid{cell_size(confusion.size()), 0, 78, false};
  const double extent = grid.cell * static_cast<double>(confusion.size());
  const double names = longest_name(*scratch, confusion, name_style(grid.cell));
  grid.vertical_names = names > grid.cell - 8;
  // Small matrices still leave room for the heading.
  const double content = names + 46 + extent + 92;
  const double needed = std::max(content, 480.0);
  grid.left = names + 46 + (needed - content) / 2;
  const double below = grid.vertical_names ? names : 18;
  Result<Drawing> drawing = Drawing::make(needed, grid.top + extent + 9 + below + 44);
  if (!drawing) return drawing.error();

  for (size_t truth = 0; truth < confusion.size(); ++truth) {
    for (size_t prediction = 0; prediction < confusion.size(); ++prediction) {
      paint_cell(*drawing, confusion, grid, truth, prediction);
    }
  }
  paint_lines(*drawing, confusion.size(), grid);
  drawing->set_ink(kTextInk);
  cairo_set_line_width(drawing->context(), 1);
  cairo_rectangle(drawing->context(), grid.left, grid.top, extent, extent);
  cairo_stroke(drawing->context());
  paint_names(*drawing, confusion, grid);
  paint_scale(*drawing, grid, extent);
  const double middle = grid.left + extent / 2;
  drawing->text(drawing->width() / 2, 26, "Confusion matrix", {.size = 18, .bold = true}, {0.5, 0.5});
  drawing->text(drawing->width() / 2, 52, heading(confusion), {.size = 13}, {0.5, 0.5});
  drawing->text(middle, drawing->height() - 18, "Predicted class", {.size = 13.5, .bold = true}, {0.5, 0.5});
  drawing->text(std::max(18.0, grid.left - names - 28), grid.top + extent / 2, "True class",
                {.size = 13.5, .bold = true, .vertical = true}, {0.5, 0.5});
  return drawing->png();
}

Status write_confusion(const std::string& path, const ConfusionMatrix& confusion) {
  const Result<std::vector<uint8_t>> png = confusion_png(confusion);
  if (!png) return png.error();
  return write_file(path, *png);
}

}  // namespace ferrun::report
