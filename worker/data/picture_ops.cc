#include "worker/data/picture_ops.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <numbers>

#include "worker/data/rotation.h"

namespace ferrun::data {
namespace {

Image black_picture(int width, int height) {
  return {width, height, std::vector<uint8_t>(static_cast<size_t>(width) * static_cast<size_t>(height) * 3)};
}

const uint8_t* pixel_at(const Image& image, int x, int y) {
  return image.pixels.data() + 3 * (static_cast<ptrdiff_t>(y) * image.width + x);
}
uint8_t* pixel_at(Image& image, int x, int y) {
  return image.pixels.data() + 3 * (static_cast<ptrdiff_t>(y) * image.width + x);
}

// Pillow's COORD: towards zero, and outside for whatever is negative, or too far for a picture.
int pixel_of(double position) { return position >= 0.0 && position < 2147483647.0 ? static_cast<int>(position) : -1; }

bool inside(int position, int size) { return position >= 0 && position < size; }

// The three ways of Pillow's ImagingTransformAffine, which round differently. Scaling alone:
void scale_nearest(const Image& image, const std::array<double, 6>& m, Image& output) {
  std::vector<int> from_x(static_cast<size_t>(output.width));
  double x = m[2] + m[0] * 0.5;
  for (int& from : from_x) {
    from = pixel_of(x);
    x += m[0];
  }
  double y = m[5] + m[4] * 0.5;
  for (int row = 0; row < output.height; ++row, y += m[4]) {
    const int from_y = pixel_of(y);
    if (!inside(from_y, image.height)) continue;
    for (int column = 0; column < output.width; ++column) {
      const int from = from_x[static_cast<size_t>(column)];
      if (inside(from, image.width)) std::memcpy(pixel_at(output, column, row), pixel_at(image, from, from_y), 3);
    }
  }
}

// In 16.16 fixed point, wherever the positions fit.
void affine_fixed(const Image& image, const std::array<double, 6>& m, Image& output) {
  const auto fixed = [](double value) { return static_cast<int64_t>(std::floor(value * 65536.0 + 0.5)); };
  const int64_t step[4] = {fixed(m[0]), fixed(m[1]), fixed(m[3]), fixed(m[4])};
  int64_t row_x = fixed(m[2] + m[0] * 0.5 + m[1] * 0.5);
  int64_t row_y = fixed(m[5] + m[3] * 0.5 + m[4] * 0.5);
  for (int row = 0; row < output.height; ++row, row_x += step[1], row_y += step[3]) {
    int64_t x = row_x;
    int64_t y = row_y;
    for (int column = 0; column < output.width; ++column, x += step[0], y += step[2]) {
      const int64_t from_x = x >> 16, from_y = y >> 16;
      if (from_x < 0 || from_x >= image.width || from_y < 0 || from_y >= image.height) continue;
      std::memcpy(pixel_at(output, column, row), pixel_at(image, static_cast<int>(from_x), static_cast<int>(from_y)),
                  3);
    }
  }
}

void affine_double(const Image& image, const std::array<double, 6>& m, Image& output) {
  double row_x = m[2] + m[0] * 0.5 + m[1] * 0.5;
  double row_y = m[5] + m[3] * 0.5 + m[4] * 0.5;
  for (int row = 0; row < output.height; ++row, row_x += m[1], row_y += m[4]) {
    double x = row_x;
    double y = row_y;
    for (int column = 0; column < output.width; ++column, x += m[0], y += m[3]) {
      // Compared as doubles first: a far position does not fit an int.
      if (!(x >= 0.0 && x < image.width && y >= 0.0 && y < image.height)) continue;
      std::memcpy(pixel_at(output, column, row), pixel_at(image, pixel_of(x), pixel_of(y)), 3);
    }
  }
}

// torchvision's _get_inverse_affine_matrix about the picture's centre, in its order of operations.
std::array<double, 6> inverse_affine_matrix(const AffineDraw& draw, int width, int height) {
  const auto radians = [](double degrees) { return degrees * (std::numbers::pi / 180.0); };
  const double rotation = radians(draw.degrees);
  const double shear_x = radians(draw.shear_x);
  const double shear_y = radians(draw.shear_y);
  const double centre_x = width * 0.5;
  const double centre_y = height * 0.5;
  const double a = std::cos(rotation - shear_y) / std::cos(shear_y);
  const double b = -std::cos(rotation - shear_y) * std::tan(shear_x) / std::cos(shear_y) - std::sin(rotation);
  const double c = std::sin(rotation - shear_y) / std::cos(shear_y);
  const double d = -std::sin(rotation - shear_y) * std::tan(shear_x) / std::cos(shear_y) + std::cos(rotation);
  std::array<double, 6> m = {d, -b, 0.0, -c, a, 0.0};
  for (double& entry : m) entry /= draw.scale;
  m[2] += m[0] * (-centre_x - draw.shift_x) + m[1] * (-centre_y - draw.shift_y);
  m[5] += m[3] * (-centre_x - draw.shift_x) + m[4] * (-centre_y - draw.shift_y);
  m[2] += centre_x;
  m[5] += centre_y;
  return m;
}

}  // namespace

Image crop(const Image& image, const Window& window) {
  Image output = black_picture(window.width, window.height);
  const int left = std::max(0, window.left), right = std::min(image.width, window.left + window.width);
  const int top = std::max(0, window.top), bottom = std::min(image.height, window.top + window.height);
  if (left >= right) return output;
  for (int y = top; y < bottom; ++y) {
    std::memcpy(pixel_at(output, left - window.left, y - window.top), pixel_at(image, left, y),
                3 * static_cast<size_t>(right - left));
  }
  return output;
}

Window centre_window(ImageSize picture, ImageSize crop) {
  // torchvision pads what is too small, the odd pixel behind, and then centres in what came of it.
  const auto place = [](int size, int wanted) {
    const int before = wanted > size ? (wanted - size) / 2 : 0;
    const int padded = std::max(size, wanted);
    return static_cast<int>(std::nearbyint((padded - wanted) / 2.0)) - before;
  };
  return {place(picture.width, crop.width), place(picture.height, crop.height), crop.width, crop.height};
}

Image transpose(const Image& image, Transposition how) {
  const int last_x = image.width - 1;
  const int last_y = image.height - 1;
  const bool turned = how == Transposition::kRotate90 || how == Transposition::kRotate270 ||
                      how == Transposition::kTranspose || how == Transposition::kTransverse;
  Image output = turned ? black_picture(image.height, image.width) : black_picture(image.width, image.height);
  const auto copy = [&](const auto& source_of) {
    for (int y = 0; y < output.height; ++y) {
      for (int x = 0; x < output.width; ++x) {
        const auto [from_x, from_y] = source_of(x, y);
        std::memcpy(pixel_at(output, x, y), pixel_at(image, from_x, from_y), 3);
      }
    }
  };
  switch (how) {
    case Transposition::kFlipLeftRight: copy([&](int x, int y) { return std::pair(last_x - x, y); }); break;
    case Transposition::kFlipTopBottom: copy([&](int x, int y) { return std::pair(x, last_y - y); }); break;
    case Transposition::kRotate90: copy([&](int x, int y) { return std::pair(last_x - y, x); }); break;
    case Transposition::kRotate180: copy([&](int x, int y) { return std::pair(last_x - x, last_y - y); }); break;
    case Transposition::kRotate270: copy([&](int x, int y) { return std::pair(y, last_y - x); }); break;
    case Transposition::kTranspose: copy([&](int x, int y) { return std::pair(y, x); }); break;
    case Transposition::kTransverse: copy([&](int x, int y) { return std::pair(last_x - y, last_y - x); }); break;
  }
  return output;
}

Image rotate(const Image& image, double degrees) {
  // Pillow's short cuts, which are exact where its fixed point is not.
  const double angle = positive_angle(degrees);
  const bool square = image.width == image.height;
  if (angle == 0.0) return image;
  if (angle == 180.0) return transpose(image, Transposition::kRotate180);
  if (angle == 90.0 && square) return transpose(image, Transposition::kRotate90);
  if (angle == 270.0 && square) return transpose(image, Transposition::kRotate270);
  return transform_affine(image, rotation_matrix(degrees, image.width, image.height));
}

Image affine(const Image& image, const AffineDraw& draw) {
  return transform_affine(image, inverse_affine_matrix(draw, image.width, image.height));
}

Image transform_affine(const Image& image, const std::array<double, 6>& m) {
  Image output = black_picture(image.width, image.height);
  const auto fits = [&](double x, double y) {
    return std::abs(x * m[0] + y * m[1] + m[2]) < 32768.0 && std::abs(x * m[3] + y * m[4] + m[5]) < 32768.0;
  };
  if (m[1] == 0.0 && m[3] == 0.0) {
    scale_nearest(image, m, output);
  } else if (fits(0, 0) && fits(image.width, image.height) && fits(0, image.height) && fits(image.width, 0)) {
    affine_fixed(image, m, output);
  } else {
    affine_double(image, m, output);
  }
  return output;
}

}  // namespace ferrun::data
