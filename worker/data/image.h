// An 8-bit RGB picture in memory. Rows from top to bottom, no padding between them.
#pragma once

#include <cstdint>
#include <vector>

namespace ferrun::data {

struct ImageSize {
  int width = 0;
  int height = 0;

  bool operator==(const ImageSize&) const = default;
};

struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;  // height × width × 3, interleaved R G B

  ImageSize size() const { return {width, height}; }
  bool operator==(const Image&) const = default;
};

}  // namespace ferrun::data
