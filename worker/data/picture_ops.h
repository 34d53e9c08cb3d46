// What torchvision.transforms.functional does to Pillow images, byte for byte: geometry of 8-bit RGB pictures. Pixels
// from outside a picture are black. Pure functions; any thread. `resize` is in resize.h.
#pragma once

#include <array>

#include "worker/data/image.h"
#include "worker/data/resize.h"

namespace ferrun::data {

// F.crop: `window` may reach beyond the picture.
Image crop(const Image& image, const Window& window);

// Where F.center_crop puts its window in a picture of that size: rounded to even as Python rounds, and beyond the
// picture's edges where the picture is smaller.
Window centre_window(ImageSize picture, ImageSize crop);

// Pillow's Image.Transpose: mirrored, turned counter-clockwise, or along one of the diagonals.
enum class Transposition { kFlipLeftRight, kFlipTopBottom, kRotate90, kRotate180, kRotate270, kTranspose, kTransverse };
Image transpose(const Image& image, Transposition how);

inline Image flip_horizontally(const Image& image) { return transpose(image, Transposition::kFlipLeftRight); }
inline Image flip_vertically(const Image& image) { return transpose(image, Transposition::kFlipTopBottom); }

// F.rotate: counter-clockwise about the centre, nearest pixel, the size stays.
Image rotate(const Image& image, double degrees);

struct AffineDraw {
  double degrees = 0;  // clockwise, as F.affine has it
  int shift_x = 0;     // pixels, to the right and down
  int shift_y = 0;
  double scale = 1;    // > 0
  double shear_x = 0;  // degrees
  double shear_y = 0;

  bool operator==(const AffineDraw&) const = default;
};

// F.affine: about the centre, nearest pixel, the size stays.
Image affine(const Image& image, const AffineDraw& draw);

// Pillow's Image.transform(size, AFFINE, matrix, NEAREST): pixel (x, y) of the result comes from
// (m0 x + m1 y + m2, m3 x + m4 y + m5), taken at the pixels' centres.
Image transform_affine(const Image& image, const std::array<double, 6>& matrix);

}  // namespace ferrun::data
