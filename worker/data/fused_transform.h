// The usual composition (resize, crop, flips, rotation, normalise) as one pass: only the crop's pixels are resized, and
// flips and rotation only say where a pixel comes from. Geometry follows Pillow and torchvision byte for byte, and the
// floats are theirs bit for bit. `Transform` (transforms.h) lowers a composition to this where it matches; nobody else
// needs it. Thread rule: a FusedTransform is a value; `apply` keeps its tables and buffers per thread and allocates
// nothing once warm.
#pragma once

#include <array>
#include <cstdint>

#include "worker/data/image.h"

namespace ferrun::data {

// What one sample's random draws came to.
struct Augmentation {
  int left = 0;  // of the crop within the resized picture
  int top = 0;
  bool flip_horizontally = false;
  double degrees = 0.0;  // counter-clockwise
  bool flip_vertically = false;
};

// torchvision's Normalize, per channel R, G, B of values in 0 … 1: (value − mean) / stddev in float32.
struct ChannelStatistics {
  std::array<float, 3> mean = {0.485f, 0.456f, 0.406f};  // ImageNet's
  std::array<float, 3> stddev = {0.229f, 0.224f, 0.225f};
};

// Resize → crop → horizontal flip → rotation → vertical flip → ToTensor → Normalize.
struct FusedTransform {
  int crop = 224;  // side of the result, 1 … 16384
  ChannelStatistics statistics;

  // `resized` is the size of the whole resized picture, and holds the crop. `out` receives 3 × crop × crop floats
  // (channels first) or crop × crop × 3 (channels last).
  void apply(const Image& image, ImageSize resized, const Augmentation& augmentation, bool channels_last,
             float* out) const;
  // The same without ToTensor and Normalize: crop × crop × 3 bytes, from which both follow.
  void apply_bytes(const Image& image, ImageSize resized, const Augmentation& augmentation, uint8_t* out) const;
};

// ToTensor and Normalize alone, of a square picture.
void normalize(const Image& image, const ChannelStatistics& statistics, bool channels_last, float* out);

}  // namespace ferrun::data
