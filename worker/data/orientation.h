// A JPEG's orientation as cameras write it: the tag 0x0112 of EXIF's first directory, else tiff:Orientation of XMP, as
// Pillow's getexif() reads them. Pure; damaged metadata has no orientation.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "worker/data/picture_ops.h"

namespace ferrun::data {

// `segments` are the file's APP1 segments. 1 … 8, or another number that a file holds, which means nothing; 1 without
// any.
int jpeg_orientation(const std::vector<std::span<const uint8_t>>& segments);

// What turns a picture upright; nothing for 1 and for numbers without meaning.
std::optional<Transposition> transposition_of(int orientation);

}  // namespace ferrun::data
