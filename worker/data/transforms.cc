#include "worker/data/transforms.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

namespace ferrun::data {
namespace {

constexpr int kLargestSide = 32768;
constexpr int kLargestResult = 16384;  // Rotation's positions are 16.16 fixed point
// A shorter side that is enlarged takes the longer one with it: a hair of 1 × 100000 pixels must not become gigabytes.
constexpr int64_t kMostResizedPixels = int64_t{1} << 26;

template <typename... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <typename... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

std::string text_of(ImageSize size) { return std::to_string(size.width) + " x " + std::to_string(size.height); }

// torchvision's _compute_resized_output_size.
ImageSize resized(const Resize& step, ImageSize picture) {
  if (step.width) return {*step.width, step.height};
  const double shorter = std::min(picture.width, picture.height);
  const double longer = std::max(picture.width, picture.height);
  const double wanted = std::min(step.height * longer / shorter, 1e9);  // above, only the refusal matters
  const int longer_wanted = static_cast<int>(wanted);
  return picture.width <= picture.height ? ImageSize{step.height, longer_wanted}
                                         : ImageSize{longer_wanted, step.height};
}

Draw draw_affine(const RandomAffine& step, ImageSize picture, SplitMix64& random) {
  const auto within = [&](const std::array<double, 2>& range) { return random.uniform(range[0], range[1]); };
  Draw drawn;
  drawn.affine.degrees = within(step.degrees);
  if (step.translate) {
    const double most_x = (*step.translate)[0] * picture.width;
    const double most_y = (*step.translate)[1] * picture.height;
    drawn.affine.shift_x = static_cast<int>(std::nearbyint(random.uniform(-most_x, most_x)));
    drawn.affine.shift_y = static_cast<int>(std::nearbyint(random.uniform(-most_y, most_y)));
  }
  if (step.scale) drawn.affine.scale = within(*step.scale);
  if (step.shear_x) drawn.affine.shear_x = within(*step.shear_x);
  if (step.shear_y) drawn.affine.shear_y = within(*step.shear_y);
  return drawn;
}

// What is known of a picture's size before any picture is seen.
struct KnownSize {
  ImageSize least{1, 1};
  bool exact = false;
  int shorter = 0;  // its shorter side where that is known; 0: it is not
};

Status refuse(std::string reason) { return usage_error(std::move(reason)); }

Status check_side(int side) {
  if (side >= 1 && side <= kLargestSide) return ok_status();
  return refuse("a side of " + std::to_string(side) + " pixels; allowed are 1 to " + std::to_string(kLargestSide));
}

Status check_sides(int height, int width) {
  if (Status checked = check_side(height); !checked) return checked;
  return check_side(width);
}

Status check_share(double p) {
  return p >= 0 && p <= 1 ? ok_status() : refuse("\"p\" is not a probability; allowed are 0 to 1");
}

Status check_range(const char* name, const std::array<double, 2>& range) {
  const bool ordered = std::isfinite(range[0]) && std::isfinite(range[1]) && range[0] <= range[1];
  return ordered ? ok_status() : refuse(std::string("\"") + name + "\" is not a range [low, high]");
}

Status check_affine(const RandomAffine& step) {
  if (Status checked = check_range("degrees", step.degrees); !checked) return checked;
  if (step.translate) {
    for (const double share : *step.translate) {
      if (!(share >= 0 && share <= 1)) return refuse("\"translate\" is a share of the picture; allowed are 0 to 1");
    }
  }
  if (step.scale) {
    if (Status checked = check_range("scale", *step.scale); !checked) return checked;
    if ((*step.scale)[0] <= 0) return refuse("\"scale\" must be above 0");
  }
  for (const auto& shear : {step.shear_x, step.shear_y}) {
    if (!shear) continue;
    if (Status checked = check_range("shear", *shear); !checked) return checked;
  }
  return ok_status();
}

Status check_step(const Step& step) {
  return std::visit(Overloaded{
                        [](const Resize& it) { return check_sides(it.height, it.width.value_or(it.height)); },
                        [](const CenterCrop& it) { return check_sides(it.height, it.width); },
                        [](const RandomCrop& it) { return check_sides(it.height, it.width); },
                        [](const RandomHorizontalFlip& it) { return check_share(it.p); },
                        [](const RandomVerticalFlip& it) { return check_share(it.p); },
                        [](const RandomRotation& it) {
                          return check_range("degrees", {it.low, it.high});
                        },
                        [](const RandomAffine& it) { return check_affine(it); },
                        [](const ToTensor&) { return ok_status(); },
                        [](const Normalize& it) {
                          for (size_t c = 0; c < 3; ++c) {
                            const auto mean = static_cast<float>(it.mean[c]), stddev = static_cast<float>(it.stddev[c]);
                            if (!std::isfinite(mean) || !std::isfinite(stddev) || stddev == 0.0f)
                              return refuse("\"mean\" and \"std\" must be finite, and \"std\" not 0");
                          }
                          return ok_status();
                        },
                    },
                    step);
}

// The size behind `step`, or why it can never be done.
Status follow(const Step& step, KnownSize& known) {
  if (const auto* const resize = std::get_if<Resize>(&step)) {
    if (resize->width || known.exact) {
      known = {resized(*resize, known.least), true, 0};
    } else {
      known = {{resize->height, resize->height}, false, resize->height};
    }
  } else if (const auto* const centre = std::get_if<CenterCrop>(&step)) {
    known = {{centre->width, centre->height}, true, 0};
  } else if (const auto* const random = std::get_if<RandomCrop>(&step)) {
    if (known.exact && (random->width > known.least.width || random->height > known.least.height)) {
      return refuse("a crop of " + text_of({random->width, random->height}) + " from the " + text_of(known.least) +
                    " pixels that come to it; allowed is what fits (Resize before it?)");
    }
    if (known.shorter > 0 && std::min(random->width, random->height) > known.shorter) {
      return refuse("a crop of " + text_of({random->width, random->height}) + " from pictures whose shorter side is " +
                    std::to_string(known.shorter) + "; allowed is what fits");
    }
    known = {{random->width, random->height}, true, 0};
  }
  return ok_status();
}

Status at_step(size_t position, const Step& step, const Status& status) {
  return Error{status.error().kind,
               "[" + std::to_string(position) + "] (" + step_name(step) + "): " + status.error().message};
}

// Whether `steps` are the fused pass's: Resize, a crop that always fits, and one each of flip, rotation and flip.
bool is_fusible(const std::vector<Step>& steps) {
  auto step = steps.begin();
  const auto take = [&]<typename Kind>(Kind*) { return std::holds_alternative<Kind>(*step) && (++step, true); };
  if (!std::holds_alternative<Resize>(*step)) return false;
  KnownSize known;
  if (!follow(*step++, known)) return false;
  if (const auto* const centre = std::get_if<CenterCrop>(&*step)) {
    if (centre->width > known.least.width || centre->height > known.least.height) return false;
    ++step;
  } else if (!take(static_cast<RandomCrop*>(nullptr)) && !known.exact) {
    return false;
  }
  take(static_cast<RandomHorizontalFlip*>(nullptr));
  take(static_cast<RandomRotation*>(nullptr));
  take(static_cast<RandomVerticalFlip*>(nullptr));
  return std::holds_alternative<ToTensor>(*step);
}

// What a thread keeps from picture to picture, for the passes step by step.
Image& working_picture() {
  thread_local Image image;
  return image;
}

constexpr size_t kKeptWorkingBytes = size_t{16} << 20;

}  // namespace

const char* step_name(const Step& step) {
  return std::visit(Overloaded{
                        [](const Resize&) { return "Resize"; },
                        [](const CenterCrop&) { return "CenterCrop"; },
                        [](const RandomCrop&) { return "RandomCrop"; },
                        [](const RandomHorizontalFlip&) { return "RandomHorizontalFlip"; },
                        [](const RandomVerticalFlip&) { return "RandomVerticalFlip"; },
                        [](const RandomRotation&) { return "RandomRotation"; },
                        [](const RandomAffine&) { return "RandomAffine"; },
                        [](const ToTensor&) { return "ToTensor"; },
                        [](const Normalize&) { return "Normalize"; },
                    },
                    step);
}

Result<Draw> draw(const Step& step, ImageSize picture, SplitMix64& random) {
  Draw drawn;
  drawn.size = picture;
  // u ≥ 1 − p rather than u < p: at ½ it is the generator's top bit.
  const auto flips = [&](double p) { return random.uniform() >= 1.0 - p; };
  if (const auto* const resize = std::get_if<Resize>(&step)) {
    drawn.size = resized(*resize, picture);
    if (!resize->width && int64_t{drawn.size.width} * drawn.size.height > kMostResizedPixels) {
      return Error{ErrorKind::kUser, "a picture of " + text_of(picture) + " would have " + text_of(drawn.size) +
                                         " pixels after Resize to a shorter side of " + std::to_string(resize->height)};
    }
  } else if (const auto* const centre = std::get_if<CenterCrop>(&step)) {
    drawn.size = {centre->width, centre->height};
    drawn.window = centre_window(picture, drawn.size);
  } else if (const auto* const crop = std::get_if<RandomCrop>(&step)) {
    if (crop->width > picture.width || crop->height > picture.height) {
      return Error{ErrorKind::kUser, "RandomCrop of " + text_of({crop->width, crop->height}) + " from a picture of " +
                                         text_of(picture) + "; put a Resize before it"};
    }
    drawn.size = {crop->width, crop->height};
    const int top = random.below(picture.height - crop->height + 1);
    drawn.window = {random.below(picture.width - crop->width + 1), top, crop->width, crop->height};
  } else if (const auto* const horizontal = std::get_if<RandomHorizontalFlip>(&step)) {
    drawn.flip = flips(horizontal->p);
  } else if (const auto* const vertical = std::get_if<RandomVerticalFlip>(&step)) {
    drawn.flip = flips(vertical->p);
  } else if (const auto* const rotation = std::get_if<RandomRotation>(&step)) {
    drawn.affine.degrees = random.uniform(rotation->low, rotation->high);
  } else if (const auto* const affinity = std::get_if<RandomAffine>(&step)) {
    drawn = draw_affine(*affinity, picture, random);
    drawn.size = picture;
  }
  return drawn;
}

void apply(const Step& step, const Draw& drawn, Image& image) {
  std::visit(Overloaded{
                 [&](const Resize&) {
                   if (image.size() != drawn.size) image = resize(image, drawn.size.width, drawn.size.height);
                 },
                 [&](const CenterCrop&) { image = crop(image, drawn.window); },
                 [&](const RandomCrop&) { image = crop(image, drawn.window); },
                 [&](const RandomHorizontalFlip&) {
                   if (drawn.flip) image = flip_horizontally(image);
                 },
                 [&](const RandomVerticalFlip&) {
                   if (drawn.flip) image = flip_vertically(image);
                 },
                 [&](const RandomRotation&) { image = rotate(image, drawn.affine.degrees); },
                 [&](const RandomAffine&) { image = affine(image, drawn.affine); },
                 [](const ToTensor&) {},
                 [](const Normalize&) {},
             },
             step);
}

Result<Transform> Transform::compose(std::vector<Step> steps) {
  Transform transform;
  KnownSize known;
  for (size_t i = 0; i < steps.size(); ++i) {
    const bool is_tensor = std::holds_alternative<ToTensor>(steps[i]);
    const bool is_normal = std::holds_alternative<Normalize>(steps[i]);
    Status checked = check_step(steps[i]);
    if (checked && is_tensor && i + 2 != steps.size()) checked = refuse("allowed only as the last step but one");
    if (checked && is_normal && (i + 1 != steps.size() || i == 0 || !std::holds_alternative<ToTensor>(steps[i - 1])))
      checked = refuse("allowed only as the last step, after ToTensor");
    if (checked) checked = follow(steps[i], known);
    if (!checked) return at_step(i, steps[i], checked).error();
  }
  const auto* const normal = steps.empty() ? nullptr : std::get_if<Normalize>(&steps.back());
  if (normal == nullptr) return usage_error("must end in ToTensor and Normalize");
  if (!known.exact) {
    return usage_error(
        "the pictures would have no fixed size; a Resize to [height, width], a CenterCrop or a RandomCrop gives them "
        "one");
  }
  if (known.least.width != known.least.height) {
    return usage_error("the pictures would have " + text_of(known.least) + " pixels; they must become square");
  }
  if (known.least.width > kLargestResult) {
    return usage_error("the pictures would have " + text_of(known.least) + " pixels; a side has at most " +
                       std::to_string(kLargestResult));
  }
  transform.size_ = known.least.width;
  for (size_t c = 0; c < 3; ++c) {
    transform.statistics_.mean[c] = static_cast<float>(normal->mean[c]);
    transform.statistics_.stddev[c] = static_cast<float>(normal->stddev[c]);
  }
  transform.fused_ = is_fusible(steps);
  transform.steps_ = std::move(steps);
  return transform;
}

Transform Transform::train(int size) {
  const int larger = static_cast<int>(std::lround(size * 256.0 / 224.0));
  return compose({Resize{larger, larger}, RandomCrop{size, size}, RandomHorizontalFlip{}, RandomRotation{},
                  RandomVerticalFlip{}, ToTensor{}, Normalize{}})
      .value();
}

Transform Transform::validation(int size) { return compose({Resize{size, size}, ToTensor{}, Normalize{}}).value(); }

Status Transform::apply(const Image& image, uint64_t seed, bool channels_last, float* out) const {
  if (!fused_) return apply_stepwise(image, seed, channels_last, out);
  const Result<FusedDraw> drawn = draw_fused(image.size(), seed);
  if (!drawn) return drawn.error();
  FusedTransform{size_, statistics_}.apply(image, drawn->whole, drawn->augmentation, channels_last, out);
  return ok_status();
}

Status Transform::apply_bytes(const Image& image, uint64_t seed, uint8_t* out) const {
  if (!fused_) {
    return run_stepwise(image, seed, [out](const Image& work) { std::ranges::copy(work.pixels, out); });
  }
  const Result<FusedDraw> drawn = draw_fused(image.size(), seed);
  if (!drawn) return drawn.error();
  FusedTransform{size_, statistics_}.apply_bytes(image, drawn->whole, drawn->augmentation, out);
  return ok_status();
}

Result<Transform::FusedDraw> Transform::draw_fused(ImageSize picture, uint64_t seed) const {
  SplitMix64 random(seed);
  FusedDraw fused;
  fused.size = picture;
  for (const Step& step : steps_) {
    const Result<Draw> drawn = draw(step, fused.size, random);
    if (!drawn) return drawn.error();
    fused.size = drawn->size;
    if (std::holds_alternative<Resize>(step)) {
      fused.whole = fused.size;
    } else if (std::holds_alternative<CenterCrop>(step) || std::holds_alternative<RandomCrop>(step)) {
      fused.augmentation.left = drawn->window.left;
      fused.augmentation.top = drawn->window.top;
    } else if (std::holds_alternative<RandomHorizontalFlip>(step)) {
      fused.augmentation.flip_horizontally = drawn->flip;
    } else if (std::holds_alternative<RandomRotation>(step)) {
      fused.augmentation.degrees = drawn->affine.degrees;
    } else if (std::holds_alternative<RandomVerticalFlip>(step)) {
      fused.augmentation.flip_vertically = drawn->flip;
    }
  }
  return fused;
}

template <typename Finish>
Status Transform::run_stepwise(const Image& image, uint64_t seed, Finish&& finish) const {
  SplitMix64 random(seed);
  Image& work = working_picture();
  work = image;
  for (const Step& step : steps_) {
    const Result<Draw> drawn = draw(step, work.size(), random);
    if (!drawn) return drawn.error();
    data::apply(step, *drawn, work);
  }
  finish(work);
  if (work.pixels.capacity() > kKeptWorkingBytes) work = Image{};
  return ok_status();
}

Status Transform::apply_stepwise(const Image& image, uint64_t seed, bool channels_last, float* out) const {
  return run_stepwise(image, seed, [&](const Image& work) { normalize(work, statistics_, channels_last, out); });
}

}  // namespace ferrun::data
