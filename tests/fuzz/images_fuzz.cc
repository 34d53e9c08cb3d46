// The image decoders on arbitrary bytes. Whatever comes, decoding ends with a picture of the size that it states or
// with a one-line reason, within the pixel limit; sanitizers watch the rest. The same bytes give the same answer twice,
// also when the Image is used again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "worker/data/image_file.h"

namespace {

constexpr int64_t kMaxPixels = 256 * 256;

void require(bool condition) {
  if (!condition) std::abort();
}

uint32_t read32(const uint8_t* from) {
  return uint32_t{from[0]} << 24 | uint32_t{from[1]} << 16 | uint32_t{from[2]} << 8 | from[3];
}

uint32_t checksum(const uint8_t* bytes, size_t size) {
  uint32_t crc = ~uint32_t{0};
  for (size_t i = 0; i < size; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

// Makes the checksums of a PNG's chunks right again.
void repair_checksums(uint8_t* data, size_t size) {
  for (size_t at = 8; size - at >= 12;) {
    const size_t length = read32(data + at);
    if (length > size - at - 12) return;
    const uint32_t crc = checksum(data + at + 4, length + 4);
    for (size_t i = 0; i < 4; ++i) data[at + 8 + length + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
    at += length + 12;
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Without this nearly every changed PNG would end at its first checksum. One in eight keeps its wrong ones.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  const size_t changed = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 != 0 && changed >= 8 && std::memcmp(data, "\x89PNG", 4) == 0) repair_checksums(data, changed);
  return changed;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ferrun::data::Image;
  const ferrun::data::DecodeOptions limits{.max_pixels = kMaxPixels, .exif_orientation = true};
  static Image image;
  const ferrun::Status status = ferrun::data::decode_image(std::span(data, size), image, limits);
  if (!status) {
    require(!status.error().message.empty());
    require(status.error().message.find('\n') == std::string::npos);
    return 0;
  }
  require(image.width > 0 && image.height > 0 && int64_t{image.width} * image.height <= kMaxPixels);
  require(image.pixels.size() == static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3);
  Image again;
  require(ferrun::data::decode_image(std::span(data, size), again, limits).ok());
  require(again == image);
  return 0;
}
