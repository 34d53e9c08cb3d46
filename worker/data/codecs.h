// The two codecs behind image_file.h; nobody else includes this. Each decodes one file's bytes, of its own type, into
// `image` (reusing its memory) and answers with a reason without a path ("the JPEG is cut short").
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "common/result.h"
#include "worker/data/image_file.h"

namespace ferrun::data {

Status decode_jpeg(std::span<const uint8_t> bytes, Image& image, const DecodeOptions& options);
Status decode_png(std::span<const uint8_t> bytes, Image& image, const DecodeOptions& options);

inline Error bad_picture(std::string reason) { return Error{ErrorKind::kUser, std::move(reason)}; }

// Sets the size and provides the memory, unless the header promises more pixels than are allowed. `bytes_per_pixel` is
// what the decoder needs at its peak, the image's three included.
Status allocate_pixels(uint32_t width, uint32_t height, int bytes_per_pixel, const DecodeOptions& options,
                       Image& image);

}  // namespace ferrun::data
