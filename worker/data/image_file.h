// JPEG and PNG files ↔ Image. Decoding gives the bytes of Pillow's Image.open(path).convert("RGB"): alpha and tRNS are
// dropped, CMYK and YCCK are converted (Adobe's inverted form), 16-bit colour keeps its high byte, 16-bit grey is cut
// at 255, an EXIF orientation is not applied. The type is told by content, never by the file's name. Stricter than
// Pillow in one way: data that is cut short or damaged is an error, never a half-grey picture. Thread rule: every
// function may be called from several threads at once; buffers that are worth keeping are per thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/data/image.h"

namespace ferrun::data {

// Refused before anything is allocated for them. The pixel limit is Pillow's (its "decompression bomb" error).
struct ImageLimits {
  int64_t max_pixels = 178'956'970;
  int64_t max_file_bytes = int64_t{1} << 30;
};

// Decodes the bytes of one file into `image`, whose memory is used again. On failure: one line without a path ("is cut
// short", "is a GIF, …"), kind kUser, and `image` holds nothing of use.
Status decode_image(std::span<const uint8_t> bytes, Image& image, const ImageLimits& limits = {});

// Reads and decodes a file. On failure the line begins with the path.
Status read_image(const std::string& path, Image& image, const ImageLimits& limits = {});
Result<Image> read_image(const std::string& path);

// A baseline JPEG with 4:2:0 chroma, as Pillow's save(quality=…) writes it. `quality` is 1 … 100; `image` is not empty.
Result<std::vector<uint8_t>> encode_jpeg(const Image& image, int quality);

}  // namespace ferrun::data
