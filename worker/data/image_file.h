// JPEG and PNG files ↔ Image. Decoding gives the bytes of Pillow's Image.open(path).convert("RGB"): alpha and tRNS are
// dropped, CMYK and YCCK are converted (Adobe's inverted form), 16-bit colour keeps its high byte, 16-bit grey is cut
// at 255, an EXIF orientation is applied only when asked for. The type is told by content, never by the file's name.
// Stricter than Pillow in one way: data that is cut short or damaged is an error, never a half-grey picture. Thread
// rule: every function may be called from several threads at once; buffers that are worth keeping are per thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/data/image.h"
#include "worker/data/memory_budget.h"

namespace ferrun::data {

// Pillow's MAX_IMAGE_PIXELS, from which on it warns of a decompression bomb (it refuses twice as many): a quarter of a
// gigabyte as RGB. A camera's pictures stay far below it, and no more would be seen of a larger one at 224².
inline constexpr int64_t kDefaultMaxPixels = 89'478'485;

// What is beyond the limits is refused before anything is allocated for it.
struct DecodeOptions {
  int64_t max_pixels = kDefaultMaxPixels;
  int max_side = 1'000'000;  // libpng's own limit: tables for resizing grow with a side alone
  int64_t max_file_bytes = int64_t{1} << 30;
  // Turns a JPEG as its EXIF (or XMP) orientation says, as Pillow's ImageOps.exif_transpose does.
  bool exif_orientation = false;
  // Where a decoder takes the memory for the picture from, if anywhere; the caller gives it back.
  MemoryLease* memory = nullptr;
};

// Decodes the bytes of one file into `image`, whose memory is used again. On failure: one line without a path ("is cut
// short", "is a GIF, …"), kind kUser, and `image` holds nothing of use.
Status decode_image(std::span<const uint8_t> bytes, Image& image, const DecodeOptions& options = {});

// Reads and decodes a file. On failure the line begins with the path.
Status read_image(const std::string& path, Image& image, const DecodeOptions& options = {});
Result<Image> read_image(const std::string& path);

// A baseline JPEG with 4:2:0 chroma, as Pillow's save(quality=…) writes it. `quality` is 1 … 100; `image` is not empty.
Result<std::vector<uint8_t>> encode_jpeg(const Image& image, int quality);

}  // namespace ferrun::data
