#include "worker/data/rotation.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

namespace ferrun::data {
namespace {

// Python's round(value, 15): to the nearest decimal, which printing and reading again is.
double round_15(double value) {
  char text[64];
  const auto printed = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, 15);
  double rounded = 0.0;
  std::from_chars(text, printed.ptr, rounded);
  return rounded;
}

int32_t to_fixed(double value) { return static_cast<int32_t>(std::floor(value * 65536.0 + 0.5)); }

// The x for which 0 ≤ (start + x × step) >> 16 < size, as begin … end within 0 … count.
void clip(int32_t start, int32_t step, int size, int count, int& begin, int& end) {
  const int64_t limit = (int64_t{size} << 16) - 1;  // largest position inside
  if (step == 0) {
    if (start < 0 || start > limit) end = begin;
    return;
  }
  // floor and ceil of a / b for b > 0
  const auto floor_div = [](int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); };
  const auto ceil_div = [&](int64_t a, int64_t b) { return -floor_div(-a, b); };
  const int64_t first = step > 0 ? ceil_div(-int64_t{start}, step) : ceil_div(start - limit, -int64_t{step});
  const int64_t last = step > 0 ? floor_div(limit - start, step) : floor_div(start, -int64_t{step});
  begin = static_cast<int>(std::clamp<int64_t>(first, begin, count));
  end = static_cast<int>(std::clamp<int64_t>(last + 1, begin, std::max(begin, end)));
}

}  // namespace

double positive_angle(double degrees) {
  const double rest = std::fmod(degrees, 360.0);
  return rest < 0.0 ? rest + 360.0 : rest;
}

std::array<double, 6> rotation_matrix(double degrees, int width, int height) {
  // Pillow's steps in Pillow's order; the sums are not associative in floating point.
  const double angle = -(positive_angle(degrees) * (std::numbers::pi / 180.0));
  const double a = round_15(std::cos(angle));
  const double b = round_15(std::sin(angle));
  const double d = round_15(-std::sin(angle));
  const double e = a;
  const double centre_x = width / 2.0;
  const double centre_y = height / 2.0;
  const double c = a * -centre_x + b * -centre_y + 0.0 + centre_x;
  const double f = d * -centre_x + e * -centre_y + 0.0 + centre_y;
  return {a, b, c, d, e, f};
}

Rotation::Rotation(double degrees, int width, int height) : width_(width), height_(height) {
  const auto [a, b, c, d, e, f] = rotation_matrix(degrees, width, height);
  const double exact[6] = {a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5};
  for (int i = 0; i < 6; ++i) matrix_[i] = to_fixed(exact[i]);
}

Rotation::Row Rotation::row(int y) const {
  Row row{0, width_, matrix_[2] + y * matrix_[1], matrix_[5] + y * matrix_[4], matrix_[0], matrix_[3]};
  clip(row.x0, row.dx, width_, width_, row.begin, row.end);
  clip(row.y0, row.dy, height_, width_, row.begin, row.end);
  return row;
}

}  // namespace ferrun::data
