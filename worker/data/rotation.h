// The geometry of Pillow's Image.rotate(angle, NEAREST) about the centre: where in the picture each pixel of the result
// comes from, in the 16.16 fixed point that Pillow uses.
#pragma once

#include <array>
#include <cstdint>

namespace ferrun::data {

// Where Image.rotate says that the result's pixel (x, y) comes from: (m0 x + m1 y + m2, m3 x + m4 y + m5), counter-
// clockwise by `degrees` about the centre of a picture of that size.
std::array<double, 6> rotation_matrix(double degrees, int width, int height);

// Python's degrees % 360.0: in 0 … 360, never negative.
double positive_angle(double degrees);

class Rotation {
 public:
  // `degrees` counter-clockwise; the picture keeps its size and what comes from outside of it is black.
  // Sizes are 1 … 16384.
  Rotation(double degrees, int width, int height);

  // One row of the result: pixel x comes from ((x0 + x dx) >> 16, (y0 + x dy) >> 16) for begin ≤ x < end, and from
  // outside elsewhere.
  struct Row {
    int begin;
    int end;
    int32_t x0, y0;  // 16.16 position of pixel 0's source, and the step to the next
    int32_t dx, dy;
  };
  Row row(int y) const;

 private:
  int width_;
  int height_;
  int32_t matrix_[6];  // x = m0 x + m1 y + m2, y = m3 x + m4 y + m5
};

}  // namespace ferrun::data
