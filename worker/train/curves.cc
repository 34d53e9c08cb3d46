#include "worker/train/curves.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "worker/checkpoint/atomic_file.h"

namespace ferrun::train {
namespace {

constexpr Colour kWhite{255, 255, 255};
constexpr Colour kInk{40, 40, 40};
constexpr Colour kGrid{222, 222, 222};
constexpr int kPanelWidth = 560;
constexpr int kPanelHeight = 420;
constexpr int kGridLines = 5;

using Member = double EpochMetrics::*;

struct Panel {
  const char* title;
  Member train;
  Member val;
  double low;
  double high;
  int left;  // of the plot's frame
  int top = 50;
  int right;
  int bottom = kPanelHeight - 50;
};

std::string number(double value, int decimals) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

// 1, 2 or 5 times a power of ten, at least `value`.
double round_up(double value) {
  const double power = std::pow(10.0, std::floor(std::log10(std::max(value, 1e-9))));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (step * power >= value) {
      return step * power;
    }
  }
  return 10.0 * power;
}

int x_of(const Panel& panel, size_t index, size_t count) {
  const double place = count > 1 ? static_cast<double>(index) / static_cast<double>(count - 1) : 0.5;
  return panel.left + static_cast<int>(std::lround(place * (panel.right - panel.left)));
}

int y_of(const Panel& panel, double value) {
  const double place = std::clamp((value - panel.low) / (panel.high - panel.low), 0.0, 1.0);
  return panel.bottom - static_cast<int>(std::lround(place * (panel.bottom - panel.top)));
}

void draw_axes(Canvas& canvas, const Panel& panel, const std::vector<EpochMetrics>& epochs) {
  for (int i = 0; i <= kGridLines; ++i) {
    const double value = panel.low + (panel.high - panel.low) * i / kGridLines;
    const int y = y_of(panel, value);
    canvas.line(panel.left, y, panel.right, y, kGrid);
    const std::string label = number(value, 2);
    canvas.text(panel.left - 8 - Canvas::text_width(label), y - 3, label, kInk);
  }
  const size_t ticks = std::min<size_t>(epochs.size(), 9);
  for (size_t i = 0; i < ticks; ++i) {
    const size_t index = ticks > 1 ? i * (epochs.size() - 1) / (ticks - 1) : 0;
    const std::string label = std::to_string(epochs[index].epoch);
    const int x = x_of(panel, index, epochs.size());
    canvas.line(x, panel.bottom, x, panel.bottom + 4, kInk);
    canvas.text(x - Canvas::text_width(label) / 2, panel.bottom + 9, label, kInk);
  }
  canvas.line(panel.left, panel.top, panel.left, panel.bottom, kInk);
  canvas.line(panel.left, panel.bottom, panel.right, panel.bottom, kInk);
  const int middle = (panel.left + panel.right) / 2;
  canvas.text(middle - Canvas::text_width(panel.title, 2) / 2, 16, panel.title, kInk, 2);
  canvas.text(middle - Canvas::text_width("epoch") / 2, panel.bottom + 26, "epoch", kInk);
}

void draw_curve(Canvas& canvas, const Panel& panel, const std::vector<EpochMetrics>& epochs, Member member,
                Colour colour) {
  for (size_t i = 0; i < epochs.size(); ++i) {
    const size_t before = i == 0 ? 0 : i - 1;
    canvas.line(x_of(panel, before, epochs.size()), y_of(panel, epochs[before].*member), x_of(panel, i, epochs.size()),
                y_of(panel, epochs[i].*member), colour, 2);
  }
}

void draw_legend(Canvas& canvas, const Panel& panel) {
  int x = panel.left + 12;
  const std::pair<const char*, Colour> entries[] = {{"train", kTrainColour}, {"val", kValColour}};
  for (const auto& [name, colour] : entries) {
    canvas.line(x, panel.top - 9, x + 18, panel.top - 9, colour, 2);
    canvas.text(x + 24, panel.top - 12, name, kInk);
    x += 80;
  }
}

}  // namespace

Canvas draw_curves(const std::vector<EpochMetrics>& epochs) {
  double highest_loss = 0.0;
  for (const EpochMetrics& epoch : epochs) {
    for (const double loss : {epoch.train_loss, epoch.val_loss}) {
      highest_loss = std::isfinite(loss) ? std::max(highest_loss, loss) : highest_loss;
    }
  }
  const Panel panels[] = {
      {"accuracy", &EpochMetrics::train_accuracy, &EpochMetrics::val_accuracy, 0.0, 1.0, 60, 50, kPanelWidth - 20},
      {"loss", &EpochMetrics::train_loss, &EpochMetrics::val_loss, 0.0, round_up(highest_loss), kPanelWidth + 60, 50,
       2 * kPanelWidth - 20}};
  Canvas canvas(2 * kPanelWidth, kPanelHeight, kWhite);
  for (const Panel& panel : panels) {
    draw_axes(canvas, panel, epochs);
    draw_curve(canvas, panel, epochs, panel.train, kTrainColour);
    draw_curve(canvas, panel, epochs, panel.val, kValColour);
    draw_legend(canvas, panel);
  }
  return canvas;
}

Status write_curves(const std::string& path, const std::vector<EpochMetrics>& epochs) {
  const Result<std::vector<uint8_t>> bytes = draw_curves(epochs).png();
  if (!bytes) return bytes.error();
  checkpoint::AtomicFile file(path);
  if (Status opened = file.open(); !opened) return opened;
  if (Status written = file.write(*bytes); !written) return written;
  return file.commit();
}

}  // namespace ferrun::train
