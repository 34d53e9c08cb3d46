#include "worker/checkpoint/zip_format.h"

#include <zlib.h>

#include <algorithm>

namespace ferrun::checkpoint::zip {

uint32_t checksum(std::span<const uint8_t> bytes) {
  uLong crc = ::crc32(0, nullptr, 0);
  constexpr size_t kStep = size_t{1} << 30;  // zlib counts in 32 bits
  for (size_t done = 0; done < bytes.size(); done += kStep) {
    crc = ::crc32(crc, bytes.data() + done, static_cast<uInt>(std::min(kStep, bytes.size() - done)));
  }
  return static_cast<uint32_t>(crc);
}

}  // namespace ferrun::checkpoint::zip
