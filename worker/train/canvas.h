// A small RGB canvas: enough for a chart with axes, curves and labels, written as PNG.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace ferrun::train {

struct Colour {
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;
  bool operator==(const Colour&) const = default;
};

// Pixels outside the canvas are ignored.
class Canvas {
 public:
  Canvas(int width, int height, Colour background);

  int width() const { return width_; }
  int height() const { return height_; }
  Colour at(int x, int y) const;

  void set(int x, int y, Colour colour);
  // `thickness` pixels wide, ends included.
  void line(int x0, int y0, int x1, int y1, Colour colour, int thickness = 1);
  // Glyphs of 5 × 7 pixels, each `scale` times as large, one column between them; the corner is the upper left. Small
  // letters, digits, '.', '-' and ' ' have glyphs; other characters are left blank.
  void text(int x, int y, std::string_view words, Colour colour, int scale = 1);
  static int text_width(std::string_view words, int scale = 1) {
    return static_cast<int>(words.size()) * 6 * scale - scale;
  }

  // The file's bytes.
  Result<std::vector<uint8_t>> png() const;

 private:
  int width_;
  int height_;
  std::vector<uint8_t> pixels_;
};

}  // namespace ferrun::train
