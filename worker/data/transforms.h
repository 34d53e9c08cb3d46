// The recipe's picture transforms, as one value. Geometry follows Pillow and torchvision byte for byte, and the floats
// are theirs bit for bit.
//   train: Resize (resize, resize) → RandomCrop crop → RandomHorizontalFlip → RandomRotation ±degrees →
//          RandomVerticalFlip → ToTensor → Normalize;   val: Resize (crop, crop) → ToTensor → Normalize
// Thread rule: a Transform is a value; `apply` keeps its tables and buffers per thread and allocates nothing once warm.
#pragma once

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

struct Transform {
  int resize = 256;
  int crop = 224;       // 1 … 16384
  bool augment = true;  // crop at random, flips and rotation; without it resize must equal crop
  double rotation_degrees = 15.0;
  float mean[3] = {0.485f, 0.456f, 0.406f};
  float stddev[3] = {0.229f, 0.224f, 0.225f};

  // The recipe's pair for a picture of `size`: resize = round(size × 256 / 224) (64 → 73), crop = size.
  static Transform train(int size);
  static Transform validation(int size);

  // The draws that `sample_seed` stands for: the crop's corner, each flip with probability ½, an angle within
  // ± rotation_degrees. All zero without `augment`.
  Augmentation draw(uint64_t sample_seed) const;

  // Applies it; `out` receives 3 × crop × crop floats (channels first) or crop × crop × 3 (channels last).
  // `sample_seed` drives the augmentation alone.
  void apply(const Image& image, uint64_t sample_seed, bool channels_last, float* out) const {
    apply(image, draw(sample_seed), channels_last, out);
  }
  void apply(const Image& image, const Augmentation& augmentation, bool channels_last, float* out) const;
};

// Seed of one sample's augmentation: a hash of its arguments (splitmix64).
uint64_t sample_seed(uint64_t seed, int64_t epoch, int64_t index);

}  // namespace ferrun::data
