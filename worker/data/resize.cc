#include "worker/data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "worker/data/simd.h"

namespace ferrun::data {
namespace {

constexpr int kPrecisionBits = 22;
constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

// The inputs begin … end of one output position and their shares, which sum to 1.
// The arithmetic (doubles, in this order) is Pillow's: another order would round some weights differently.
struct Support {
  int begin = 0;
  int end = 0;
  std::vector<double> shares;  // reused from position to position

  void place(int position, int input, double scale) {
    const double filter_scale = std::max(scale, 1.0);
    const double centre = (position + 0.5) * scale;
    const double inverse = 1.0 / filter_scale;
    begin = std::max(0, static_cast<int>(centre - filter_scale + 0.5));
    end = std::min(input, static_cast<int>(centre + filter_scale + 0.5));
    shares.clear();
    double sum = 0.0;
    for (int i = begin; i < end; ++i) {
      shares.push_back(std::max(0.0, 1.0 - std::abs((i - centre + 0.5) * inverse)));
      sum += shares.back();
    }
    for (double& share : shares) share /= sum;
  }
};

int32_t to_weight(double share) { return static_cast<int32_t>(0.5 + share * (1 << kPrecisionBits)); }

// Four 32-bit lanes, of which a pixel uses three. The compiler picks the instructions (simd.h).
typedef int32_t Lanes __attribute__((vector_size(16)));
typedef uint8_t Bytes4 __attribute__((vector_size(4)));

inline __attribute__((always_inline)) Lanes load_pixel(const uint8_t* pixel) {
  Bytes4 bytes;
  std::memcpy(&bytes, pixel, 4);
  return __builtin_convertvector(bytes, Lanes);
}

// One row through the horizontal weights. The weights are not negative and sum to 2^22 but for a few units of rounding,
// so a sum never leaves 0 … 255: no clipping, here and below.
template <int kTaps>
inline __attribute__((always_inline)) void resize_row(const uint8_t* from, const ResizeAxis& axis, int begin, int count,
                                                      uint8_t* to) {
  const int taps = kTaps > 0 ? kTaps : axis.taps();
  const int32_t* weight = axis.weights(begin);
  for (int x = 0; x < count; ++x, to += 3, weight += taps) {
    const uint8_t* pixel = from + 3 * static_cast<ptrdiff_t>(axis.first(begin + x));
    Lanes sum = {kHalf, kHalf, kHalf, kHalf};
    for (int tap = 0; tap < taps; ++tap) sum += load_pixel(pixel + 3 * tap) * weight[tap];
    const Bytes4 bytes = __builtin_convertvector(sum >> kPrecisionBits, Bytes4);
    std::memcpy(to, &bytes, 4);  // the fourth byte is the next pixel's first, or slack
  }
}

FERRUN_SIMD_CLONES
void resize_rows(const uint8_t* from, ptrdiff_t stride, int rows, const ResizeAxis& axis, int begin, int count,
                 uint8_t* to) {
  for (int y = 0; y < rows; ++y, from += stride, to += 3 * static_cast<ptrdiff_t>(count)) {
    if (axis.taps() == 2) {
      resize_row<2>(from, axis, begin, count, to);
    } else {
      resize_row<0>(from, axis, begin, count, to);
    }
  }
}

// One output row as the weighted sum of `taps` input rows, `stride` bytes apart.
template <int kTaps>
inline __attribute__((always_inline)) void blend_rows(const uint8_t* from, ptrdiff_t stride, const int32_t* weights,
                                                      int bytes, uint8_t* __restrict to) {
  for (int i = 0; i < bytes; ++i) {
    int32_t sum = kHalf;
    for (int tap = 0; tap < kTaps; ++tap) sum += from[tap * stride + i] * weights[tap];
    to[i] = static_cast<uint8_t>(sum >> kPrecisionBits);
  }
}

// Any number of taps, in strips that stay in the first-level cache.
inline __attribute__((always_inline)) void blend_many_rows(const uint8_t* from, ptrdiff_t stride,
                                                           const int32_t* weights, int taps, int bytes,
                                                           uint8_t* __restrict to) {
  constexpr int kStrip = 1024;
  int32_t sums[kStrip];
  for (int begin = 0; begin < bytes; begin += kStrip) {
    const int count = std::min(kStrip, bytes - begin);
    for (int i = 0; i < count; ++i) sums[i] = kHalf;
    for (int tap = 0; tap < taps; ++tap) {
      const uint8_t* row = from + tap * stride + begin;
      const int32_t weight = weights[tap];
      for (int i = 0; i < count; ++i) sums[i] += row[i] * weight;
    }
    for (int i = 0; i < count; ++i) to[begin + i] = static_cast<uint8_t>(sums[i] >> kPrecisionBits);
  }
}

FERRUN_SIMD_CLONES
void resize_columns(const uint8_t* from, ptrdiff_t stride, int top, const ResizeAxis& axis, int begin, int count,
                    int bytes, uint8_t* to) {
  for (int y = begin; y < begin + count; ++y, to += bytes) {
    const uint8_t* first = from + (axis.first(y) - top) * stride;
    switch (axis.taps()) {
      case 1: blend_rows<1>(first, stride, axis.weights(y), bytes, to); break;
      case 2: blend_rows<2>(first, stride, axis.weights(y), bytes, to); break;
      case 3: blend_rows<3>(first, stride, axis.weights(y), bytes, to); break;
      case 4: blend_rows<4>(first, stride, axis.weights(y), bytes, to); break;
      default: blend_many_rows(first, stride, axis.weights(y), axis.taps(), bytes, to); break;
    }
  }
}

// Rows top … bottom of the picture through the horizontal weights. The picture's memory has no slack behind it, so its
// very last row goes through a copy that has.
void resize_input_rows(const Image& image, int top, int bottom, const ResizeAxis& axis, const Window& window,
                       uint8_t* to) {
  const ptrdiff_t stride = 3 * static_cast<ptrdiff_t>(image.width);
  const uint8_t* from = image.pixels.data() + top * stride;
  const int rows = bottom - top - 1;
  resize_rows(from, stride, rows, axis, window.left, window.width, to);
  thread_local std::vector<uint8_t> last;
  last.assign(from + rows * stride, from + (rows + 1) * stride);
  last.resize(last.size() + kPixelSlack);
  resize_rows(last.data(), stride, 1, axis, window.left, window.width,
              to + 3 * static_cast<ptrdiff_t>(window.width) * rows);
}

void copy_rows(const uint8_t* from, ptrdiff_t stride, int rows, int bytes, uint8_t* to) {
  for (int y = 0; y < rows; ++y)
    std::memcpy(to + static_cast<ptrdiff_t>(y) * bytes, from + y * stride, static_cast<size_t>(bytes));
}

}  // namespace

ResizeAxis::ResizeAxis(int input, int output) : input_(input), first_(static_cast<size_t>(output)) {
  const double scale = static_cast<double>(input) / output;
  Support support;
  // Zero weights at either end are left out: enlarging needs two taps where the formula's window has three.
  std::vector<int32_t> fixed;
  std::vector<int32_t> count(static_cast<size_t>(output));
  for (int position = 0; position < output; ++position) {
    support.place(position, input, scale);
    size_t begin = 0;
    size_t end = support.shares.size();
    while (end - begin > 1 && to_weight(support.shares[end - 1]) == 0) --end;
    while (end - begin > 1 && to_weight(support.shares[begin]) == 0) ++begin;
    first_[static_cast<size_t>(position)] = support.begin + static_cast<int32_t>(begin);
    count[static_cast<size_t>(position)] = static_cast<int32_t>(end - begin);
    for (size_t i = begin; i < end; ++i) fixed.push_back(to_weight(support.shares[i]));
  }
  taps_ = *std::max_element(count.begin(), count.end());
  weights_.assign(static_cast<size_t>(output) * static_cast<size_t>(taps_), 0);
  const int32_t* from = fixed.data();
  for (size_t position = 0; position < first_.size(); ++position) {
    // Near the far edge the run of inputs is moved back, so that all `taps_` of them exist; the added weights are zero.
    const int32_t moved = std::max(0, first_[position] + taps_ - input);
    std::copy_n(from, count[position], weights_.begin() + static_cast<ptrdiff_t>(position) * taps_ + moved);
    first_[position] -= moved;
    from += count[position];
  }
}

// Pillow (13) begins with the columns when the height shrinks by more than twice as many pixels as the width does. The
// order shows: the values between the passes are rounded to bytes.
bool ResizePlan::columns_first() const {
  return y_.output() < y_.input() && y_.input() - y_.output() > 2 * (x_.input() - x_.output());
}

void ResizePlan::run(const Image& image, const Window& window, uint8_t* output) const {
  // Input rows that the window's rows draw from.
  const int top = y_.first(window.top);
  const int bottom = y_.first(window.top + window.height - 1) + y_.taps();
  const ptrdiff_t stride = 3 * static_cast<ptrdiff_t>(image.width);
  const uint8_t* from = image.pixels.data() + top * stride;
  const int bytes = 3 * window.width;
  thread_local std::vector<uint8_t> between;
  if (x_.is_identity() && y_.is_identity()) {
    copy_rows(from + 3 * window.left, stride, window.height, bytes, output);
  } else if (x_.is_identity()) {
    resize_columns(from + 3 * window.left, stride, top, y_, window.top, window.height, bytes, output);
  } else if (y_.is_identity()) {
    resize_input_rows(image, top, bottom, x_, window, output);
  } else if (columns_first()) {
    between.resize(static_cast<size_t>(window.height * stride) + kPixelSlack);
    resize_columns(from, stride, top, y_, window.top, window.height, static_cast<int>(stride), between.data());
    resize_rows(between.data(), stride, window.height, x_, window.left, window.width, output);
  } else {
    between.resize(static_cast<size_t>(bottom - top) * static_cast<size_t>(bytes) + kPixelSlack);
    resize_input_rows(image, top, bottom, x_, window, between.data());
    resize_columns(between.data(), bytes, top, y_, window.top, window.height, bytes, output);
  }
}

Image resize(const Image& image, int width, int height) {
  Image output;
  output.width = width;
  output.height = height;
  output.pixels.resize(static_cast<size_t>(width) * static_cast<size_t>(height) * 3 + kPixelSlack);
  ResizePlan(image.width, image.height, width, height).run(image, {0, 0, width, height}, output.pixels.data());
  output.pixels.resize(output.pixels.size() - kPixelSlack);
  return output;
}

}  // namespace ferrun::data
