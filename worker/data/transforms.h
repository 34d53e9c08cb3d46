// torchvision's picture transforms as values, and their composition. Each step does to an 8-bit RGB picture what the
// class of the same name in torchvision.transforms does to a Pillow image, byte for byte for the same random draws.
//
//   Transform::compose({Resize{256}, RandomCrop{224, 224}, RandomHorizontalFlip{}, ToTensor{}, Normalize{}})
//
// The draws come from a sample's seed alone (splitmix64), step by step in order; they are not torch's, whose generator
// is shared by all samples. Thread rule: a step and a Transform are values; `apply` keeps its buffers per thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/result.h"
#include "worker/data/fused_transform.h"
#include "worker/data/image.h"
#include "worker/data/picture_ops.h"
#include "worker/data/random.h"

namespace ferrun::data {

// Bilinear with antialias. Without a width, `height` is the shorter side and the longer one keeps the shape.
struct Resize {
  int height = 256;  // pixels, 1 … 32768, here and below
  std::optional<int> width;

  bool operator==(const Resize&) const = default;
};

// Pads with black where the picture is smaller.
struct CenterCrop {
  int height = 224;
  int width = 224;

  bool operator==(const CenterCrop&) const = default;
};

// Every place is equally likely. A picture that is smaller is an error.
struct RandomCrop {
  int height = 224;
  int width = 224;

  bool operator==(const RandomCrop&) const = default;
};

struct RandomHorizontalFlip {
  double p = 0.5;

  bool operator==(const RandomHorizontalFlip&) const = default;
};

struct RandomVerticalFlip {
  double p = 0.5;

  bool operator==(const RandomVerticalFlip&) const = default;
};

// Counter-clockwise about the centre by low … high degrees, nearest pixel, black outside.
struct RandomRotation {
  double low = -15;
  double high = 15;

  bool operator==(const RandomRotation&) const = default;
};

// About the centre, nearest pixel, black outside.
struct RandomAffine {
  std::array<double, 2> degrees = {0, 0};          // low, high; clockwise
  std::optional<std::array<double, 2>> translate;  // at most this share of the width and of the height, 0 … 1
  std::optional<std::array<double, 2>> scale;      // low, high; > 0
  std::optional<std::array<double, 2>> shear_x;    // low, high, degrees
  std::optional<std::array<double, 2>> shear_y;    // only beside shear_x

  bool operator==(const RandomAffine&) const = default;
};

// Bytes to floats of 0 … 1, channels first (or last, as `apply` is told).
struct ToTensor {
  bool operator==(const ToTensor&) const = default;
};

// (value − mean) / stddev, each rounded to float32 as torch does; for R, G and B. ImageNet's numbers.
struct Normalize {
  std::array<double, 3> mean = {0.485, 0.456, 0.406};
  std::array<double, 3> stddev = {0.229, 0.224, 0.225};  // not 0

  bool operator==(const Normalize&) const = default;
};

using Step = std::variant<Resize, CenterCrop, RandomCrop, RandomHorizontalFlip, RandomVerticalFlip, RandomRotation,
                          RandomAffine, ToTensor, Normalize>;

// The class's name in torchvision, "RandomCrop".
const char* step_name(const Step& step);

// What a step does to one picture, its randomness drawn. A step reads what is its own.
struct Draw {
  ImageSize size;     // of the result
  Window window;      // the crops'
  bool flip = false;  // the flips'
  AffineDraw affine;  // RandomAffine's; RandomRotation uses `degrees`, counter-clockwise
};

// Draws for a picture of that size. Fails (kUser) where the step cannot be done to it.
Result<Draw> draw(const Step& step, ImageSize picture, SplitMix64& random);

// Does it. ToTensor and Normalize leave the bytes alone: they are the last two steps of a Transform, which does both.
void apply(const Step& step, const Draw& drawn, Image& image);

// A checked composition, torchvision's Compose.
class Transform {
 public:
  // Steps in order, ToTensor and Normalize as the last two, the size before them fixed and square whatever the picture.
  // Failure, kUsage: "[2] (RandomCrop): …" with the step's position from 0, or what is wrong with the whole.
  static Result<Transform> compose(std::vector<Step> steps);

  // The recipe's pair for a result of `size`²: Resize (r, r), r = round(size × 256 / 224) (64 → 73), RandomCrop,
  // RandomHorizontalFlip, RandomRotation ±15, RandomVerticalFlip; to validate Resize (size, size).
  static Transform train(int size);
  static Transform validation(int size);

  int size() const { return size_; }  // pixels of the result's side
  const std::vector<Step>& steps() const { return steps_; }
  // Whether pictures take one pass (fused_transform.h) instead of step after step. The results are the same.
  bool is_fused() const { return fused_; }

  // `out` receives 3 × size × size floats (channels first) or size × size × 3 (channels last). Fails (kUser) where a
  // step cannot be done to this picture; never where Resize comes first.
  Status apply(const Image& image, uint64_t sample_seed, bool channels_last, float* out) const;
  // The pixels before ToTensor and Normalize, size × size × 3 bytes: a quarter to move, where both are done later by
  // who has statistics().
  Status apply_bytes(const Image& image, uint64_t sample_seed, uint8_t* out) const;
  const ChannelStatistics& statistics() const { return statistics_; }
  // The same as apply() step by step, whatever is_fused() says; what the fused pass is tested against.
  Status apply_stepwise(const Image& image, uint64_t sample_seed, bool channels_last, float* out) const;

  bool operator==(const Transform& other) const { return steps_ == other.steps_; }

 private:
  Transform() = default;
  // What the fused pass does to this picture.
  struct FusedDraw {
    ImageSize whole, size;  // resized, and after the crop
    Augmentation augmentation;
  };
  Result<FusedDraw> draw_fused(ImageSize picture, uint64_t sample_seed) const;
  // Every step but the last two, in a picture that the thread keeps: `finish` takes it.
  template <typename Finish>
  Status run_stepwise(const Image& image, uint64_t sample_seed, Finish&& finish) const;

  std::vector<Step> steps_;
  int size_ = 0;
  bool fused_ = false;
  ChannelStatistics statistics_;
};

}  // namespace ferrun::data
