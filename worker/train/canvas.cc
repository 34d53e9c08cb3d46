#include "worker/train/canvas.h"

#include <png.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

namespace ferrun::train {
namespace {

constexpr int kGlyphWidth = 5;
using Glyph = std::array<uint8_t, 7>;  // rows from the top; bit 4 is the leftmost pixel

const std::map<char, Glyph>& glyphs() {
  static const std::map<char, Glyph> table = {
      {'0', {0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110}},
      {'1', {0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110}},
      {'2', {0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111}},
      {'3', {0b01110, 0b10001, 0b00001, 0b00110, 0b00001, 0b10001, 0b01110}},
      {'4', {0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010}},
      {'5', {0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110}},
      {'6', {0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110}},
      {'7', {0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000}},
      {'8', {0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110}},
      {'9', {0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100}},
      {'.', {0, 0, 0, 0, 0, 0b01100, 0b01100}},
      {'-', {0, 0, 0, 0b11111, 0, 0, 0}},
      {'a', {0, 0, 0b01110, 0b00001, 0b01111, 0b10001, 0b01111}},
      {'b', {0b10000, 0b10000, 0b11110, 0b10001, 0b10001, 0b10001, 0b11110}},
      {'c', {0, 0, 0b01110, 0b10001, 0b10000, 0b10001, 0b01110}},
      {'d', {0b00001, 0b00001, 0b01111, 0b10001, 0b10001, 0b10001, 0b01111}},
      {'e', {0, 0, 0b01110, 0b10001, 0b11111, 0b10000, 0b01110}},
      {'f', {0b00110, 0b01001, 0b01000, 0b11100, 0b01000, 0b01000, 0b01000}},
      {'g', {0, 0b01111, 0b10001, 0b10001, 0b01111, 0b00001, 0b01110}},
      {'h', {0b10000, 0b10000, 0b10110, 0b11001, 0b10001, 0b10001, 0b10001}},
      {'i', {0b00100, 0, 0b01100, 0b00100, 0b00100, 0b00100, 0b01110}},
      {'j', {0b00010, 0, 0b00110, 0b00010, 0b00010, 0b10010, 0b01100}},
      {'k', {0b10000, 0b10000, 0b10010, 0b10100, 0b11000, 0b10100, 0b10010}},
      {'l', {0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110}},
      {'m', {0, 0, 0b11010, 0b10101, 0b10101, 0b10101, 0b10101}},
      {'n', {0, 0, 0b10110, 0b11001, 0b10001, 0b10001, 0b10001}},
      {'o', {0, 0, 0b01110, 0b10001, 0b10001, 0b10001, 0b01110}},
      {'p', {0, 0, 0b11110, 0b10001, 0b11110, 0b10000, 0b10000}},
      {'q', {0, 0, 0b01111, 0b10001, 0b01111, 0b00001, 0b00001}},
      {'r', {0, 0, 0b10110, 0b11001, 0b10000, 0b10000, 0b10000}},
      {'s', {0, 0, 0b01111, 0b10000, 0b01110, 0b00001, 0b11110}},
      {'t', {0b01000, 0b01000, 0b11100, 0b01000, 0b01000, 0b01001, 0b00110}},
      {'u', {0, 0, 0b10001, 0b10001, 0b10001, 0b10011, 0b01101}},
      {'v', {0, 0, 0b10001, 0b10001, 0b10001, 0b01010, 0b00100}},
      {'w', {0, 0, 0b10001, 0b10001, 0b10101, 0b10101, 0b01010}},
      {'x', {0, 0, 0b10001, 0b01010, 0b00100, 0b01010, 0b10001}},
      {'y', {0, 0, 0b10001, 0b10001, 0b01111, 0b00001, 0b01110}},
      {'z', {0, 0, 0b11111, 0b00010, 0b00100, 0b01000, 0b11111}},
  };
  return table;
}

}  // namespace

Canvas::Canvas(int width, int height, Colour background)
    : width_(width), height_(height), pixels_(static_cast<size_t>(width) * static_cast<size_t>(height) * 3) {
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      set(x, y, background);
    }
  }
}

Colour Canvas::at(int x, int y) const {
  const uint8_t* const pixel =
      &pixels_[(static_cast<size_t>(y) * static_cast<size_t>(width_) + static_cast<size_t>(x)) * 3];
  return {pixel[0], pixel[1], pixel[2]};
}

void Canvas::set(int x, int y, Colour colour) {
  if (x < 0 || y < 0 || x >= width_ || y >= height_) {
    return;
  }
  uint8_t* const pixel = &pixels_[(static_cast<size_t>(y) * static_cast<size_t>(width_) + static_cast<size_t>(x)) * 3];
  pixel[0] = colour.red;
  pixel[1] = colour.green;
  pixel[2] = colour.blue;
}

// Bresenham's line, a square pen.
void Canvas::line(int x0, int y0, int x1, int y1, Colour colour, int thickness) {
  const int dx = std::abs(x1 - x0);
  const int dy = -std::abs(y1 - y0);
  const int step_x = x0 < x1 ? 1 : -1;
  const int step_y = y0 < y1 ? 1 : -1;
  int error = dx + dy;
  for (;;) {
    for (int i = 0; i < thickness * thickness; ++i) {
      set(x0 + i % thickness, y0 + i / thickness, colour);
    }
    if (x0 == x1 && y0 == y1) {
      return;
    }
    const int doubled = 2 * error;
    if (doubled >= dy) {
      error += dy;
      x0 += step_x;
    }
    if (doubled <= dx) {
      error += dx;
      y0 += step_y;
    }
  }
}

void Canvas::text(int x, int y, std::string_view words, Colour colour, int scale) {
  for (const char letter : words) {
    const auto glyph = glyphs().find(letter);
    if (glyph != glyphs().end()) {
      for (int row = 0; row < 7 * scale; ++row) {
        for (int column = 0; column < kGlyphWidth * scale; ++column) {
          if ((glyph->second[static_cast<size_t>(row / scale)] >> (kGlyphWidth - 1 - column / scale) & 1) != 0) {
            set(x + column, y + row, colour);
          }
        }
      }
    }
    x += (kGlyphWidth + 1) * scale;
  }
}

Result<std::vector<uint8_t>> Canvas::png() const {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width_);
  image.height = static_cast<png_uint_32>(height_);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<uint8_t> bytes(size);
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels_.data(), 0, nullptr) == 0) {
    return Error{ErrorKind::kInternal, std::string("cannot write a PNG: ") + image.message};
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace ferrun::train
