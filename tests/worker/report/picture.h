// The pixels of a PNG that was drawn, for tests that look at it.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "worker/data/image_file.h"
#include "worker/report/drawing.h"

namespace ferrun::report {

inline data::Image picture_of(const Result<std::vector<uint8_t>>& png) {
  data::Image image;
  EXPECT_TRUE(png.ok()) << (png.ok() ? "" : png.error().message);
  EXPECT_TRUE(png.ok() && data::decode_image(*png, image).ok());
  return image;
}

// How many pixels of the columns from `left` to before `right` have that colour.
inline int count_ink(const data::Image& image, const Ink& ink, int left, int right) {
  const auto byte = [](double share) { return static_cast<int>(std::lround(share * 255)); };
  int count = 0;
  for (int y = 0; y < image.height; ++y) {
    for (int x = left; x < right; ++x) {
      const uint8_t* const pixel = &image.pixels[static_cast<size_t>(3 * (y * image.width + x))];
      count += pixel[0] == byte(ink.red) && pixel[1] == byte(ink.green) && pixel[2] == byte(ink.blue) ? 1 : 0;
    }
  }
  return count;
}

}  // namespace ferrun::report
