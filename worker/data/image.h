// An 8-bit RGB picture in memory. Rows from top to bottom, no padding between them.
#pragma once

#include <cstdint>
#include <vector>

namespace ferrun::data {

struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;  // height × width × 3, interleaved R G B

  bool operator==(const Image&) const = default;
};

}  // namespace ferrun::data
