// Pillow's Image.resize(size, BILINEAR), byte for byte: triangle weights that widen when shrinking (antialias), in
// 22-bit fixed point, along rows and along columns, rounded to bytes between the two. Any part of the result can be
// computed alone, so a crop costs its own pixels only. Thread rule: a plan is immutable; `run` keeps its scratch per
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "worker/data/image.h"

namespace ferrun::data {

// A rectangle of pixels.
struct Window {
  int left = 0;
  int top = 0;
  int width = 0;
  int height = 0;
};

// Bytes that must be readable behind the last pixel of a picture handed to the kernels: they load four bytes for three.
inline constexpr int kPixelSlack = 1;

// The weights along one axis, in the form that the kernels read: every output position has `taps` consecutive inputs.
class ResizeAxis {
 public:
  ResizeAxis(int input, int output);

  int input() const { return input_; }
  int output() const { return static_cast<int>(first_.size()); }
  int taps() const { return taps_; }
  int first(int position) const { return first_[static_cast<size_t>(position)]; }  // of its inputs
  const int32_t* weights(int position) const {
    return &weights_[static_cast<size_t>(position) * static_cast<size_t>(taps_)];
  }
  bool is_identity() const { return input() == output(); }
  size_t bytes() const { return sizeof(int32_t) * (first_.capacity() + weights_.capacity()); }

 private:
  int input_;
  int taps_ = 1;
  std::vector<int32_t> first_;
  std::vector<int32_t> weights_;  // output × taps, 1.0 = 2^22
};

class ResizePlan {
 public:
  // All sizes are at least 1.
  ResizePlan(int input_width, int input_height, int output_width, int output_height)
      : x_(input_width, output_width), y_(input_height, output_height) {}

  bool fits(int input_width, int input_height, int output_width, int output_height) const {
    return x_.input() == input_width && y_.input() == input_height && x_.output() == output_width &&
           y_.output() == output_height;
  }

  size_t bytes() const { return x_.bytes() + y_.bytes(); }  // of its tables

  // Writes `window` of the result to `output` (window.height × window.width × 3 bytes, plus kPixelSlack that is left
  // undefined). `image` has the plan's input size; `window` lies within its output.
  void run(const Image& image, const Window& window, uint8_t* output) const;

 private:
  bool columns_first() const;

  ResizeAxis x_;
  ResizeAxis y_;
};

// The whole picture.
Image resize(const Image& image, int width, int height);

}  // namespace ferrun::data
