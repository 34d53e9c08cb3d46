#include "worker/data/transforms.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "tests/worker/data/test_pictures.h"
#include "worker/data/fused_transform.h"
#include "worker/data/resize.h"
#include "worker/data/rotation.h"

namespace ferrun::data {
namespace {

using ::testing::ElementsAre;

// Values by Pillow 13, so that these hold without Python too.
Image golden_source(int width, int height, int step) {
  Image image{width, height, {}};
  for (int i = 0; i < width * height * 3; ++i) image.pixels.push_back(static_cast<uint8_t>(i * step % 256));
  return image;
}

TEST(Resize, EnlargesAsPillow) {
  EXPECT_THAT(resize(golden_source(4, 3, 37), 6, 5).pixels,
              ElementsAre(0, 37, 74, 56, 93, 130, 130, 124, 161, 203, 27, 64, 150, 59, 96, 77, 114, 151, 75, 112, 47,
                          80, 117, 103, 103, 114, 151, 176, 85, 122, 123, 83, 120, 50, 87, 124, 188, 225, 6, 116, 153,
                          62, 62, 99, 136, 135, 172, 209, 82, 119, 156, 9, 46, 83, 147, 184, 119, 152, 112, 98, 149, 58,
                          95, 120, 131, 168, 118, 155, 115, 122, 159, 42, 120, 157, 194, 176, 85, 122, 207, 31, 68, 110,
                          104, 141, 142, 179, 88, 197, 234, 15));
}

TEST(Resize, ShrinksWithAntialiasAsPillow) {
  EXPECT_THAT(resize(golden_source(4, 3, 37), 2, 2).pixels,
              ElementsAre(95, 109, 105, 119, 87, 124, 147, 116, 111, 125, 139, 108));
}

TEST(Resize, TakesColumnsFirstWhereTheHeightShrinksMore) {
  EXPECT_THAT(resize(golden_source(2, 9, 53), 4, 2).pixels,
              ElementsAre(114, 134, 140, 118, 128, 128, 125, 115, 103, 128, 109, 90, 159, 140, 121, 147, 134, 125, 122,
                          121, 132, 109, 115, 135));
}

TEST(Resize, TheSameSizeIsACopy) { EXPECT_EQ(resize(test_picture(17, 9), 17, 9), test_picture(17, 9)); }

TEST(Resize, AWindowIsThatPartOfTheWhole) {
  const int sizes[][4] = {{48, 48, 73, 73}, {90, 60, 40, 50}, {20, 200, 30, 31},
                          {31, 40, 31, 25}, {31, 40, 20, 40}, {25, 25, 25, 25}};
  for (const auto& [from_width, from_height, width, height] : sizes) {
    const Image image = test_picture(from_width, from_height);
    const Image whole = resize(image, width, height);
    const Window window{3, 5, width - 7, height - 9};
    std::vector<uint8_t> part(static_cast<size_t>(window.width * window.height * 3 + kPixelSlack));
    ResizePlan(from_width, from_height, width, height).run(image, window, part.data());
    for (int y = 0; y < window.height; ++y) {
      const auto* expected = &whole.pixels[static_cast<size_t>(3 * ((window.top + y) * width + window.left))];
      EXPECT_TRUE(std::equal(expected, expected + 3 * window.width, &part[static_cast<size_t>(3 * y * window.width)]))
          << width << " row " << y;
    }
  }
}

std::vector<int> rotated_five(double degrees) {
  std::vector<int> out(25, 0);
  const Rotation rotation(degrees, 5, 5);
  for (int y = 0; y < 5; ++y) {
    const Rotation::Row row = rotation.row(y);
    for (int x = row.begin; x < row.end; ++x) {
      const int from = 5 * ((row.y0 + x * row.dy) >> 16) + ((row.x0 + x * row.dx) >> 16);
      out[static_cast<size_t>(5 * y + x)] = 10 + 7 * from;
    }
  }
  return out;
}

TEST(Rotation, TakesPillowsNearestPixels) {
  EXPECT_THAT(rotated_five(15.0), ElementsAre(17, 24, 31, 31, 73, 45, 52, 59, 66, 108, 45, 87, 94, 101, 143, 80, 122,
                                              129, 136, 143, 115, 157, 157, 164, 171));
  EXPECT_THAT(rotated_five(-37.3), ElementsAre(0, 45, 17, 24, 0, 80, 87, 52, 59, 31, 115, 122, 94, 66, 73, 157, 129,
                                               136, 101, 108, 0, 164, 171, 143, 0));
}

TEST(Rotation, RowsNeverLeaveThePicture) {
  for (double degrees = -180.0; degrees <= 180.0; degrees += 3.7) {
    for (const auto& [width, height] : {std::pair(1, 1), std::pair(224, 224), std::pair(3, 70)}) {
      const Rotation rotation(degrees, width, height);
      for (int y = 0; y < height; ++y) {
        const Rotation::Row row = rotation.row(y);
        ASSERT_LE(0, row.begin);
        ASSERT_LE(row.end, width);
        for (int x = 0; x < width; ++x) {
          const int from_x = (row.x0 + x * row.dx) >> 16, from_y = (row.y0 + x * row.dy) >> 16;
          const bool inside = from_x >= 0 && from_x < width && from_y >= 0 && from_y < height;
          ASSERT_EQ(inside, x >= row.begin && x < row.end) << degrees << " " << x << "," << y;
        }
      }
    }
  }
}

TEST(Transform, NormalisesAsTorchInEveryBit) {
  Image image{5, 5, {}};
  for (const int value : {0, 1, 127, 200, 255})
    image.pixels.insert(image.pixels.end(), 15, static_cast<uint8_t>(value));
  std::vector<float> out(75);
  ASSERT_TRUE(Transform::validation(5).apply(image, 0, /*channels_last=*/true, out.data()));
  const auto row = [&](int value) {
    return std::vector<float>(out.begin() + 15 * value, out.begin() + 15 * value + 3);
  };
  EXPECT_THAT(row(0), ElementsAre(-0x1.0f177ap+1f, -0x1.049248p+1f, -0x1.cdf012p+0f));
  EXPECT_THAT(row(1), ElementsAre(-0x1.0ce656p+1f, -0x1.02549ep+1f, -0x1.c979d4p+0f));
  EXPECT_THAT(row(2), ElementsAre(0x1.d2734cp-5f, 0x1.805bc8p-3f, 0x1.a2e17ap-2f));
  EXPECT_THAT(row(3), ElementsAre(0x1.4e9a9ep+0f, 0x1.773738p+0f, 0x1.ae6fdep+0f));
  EXPECT_THAT(row(4), ElementsAre(0x1.1fdc3ap+1f, 0x1.36db6ep+1f, 0x1.51eb86p+1f));
}

TEST(Transform, TheRecipesSteps) {
  EXPECT_EQ(Transform::train(224).steps().front(), Step(Resize{256, 256}));
  EXPECT_THAT(
      Transform::train(64).steps(),
      ElementsAre(Step(Resize{73, 73}), Step(RandomCrop{64, 64}), Step(RandomHorizontalFlip{0.5}),
                  Step(RandomRotation{-15, 15}), Step(RandomVerticalFlip{0.5}), Step(ToTensor{}), Step(Normalize{})));
  EXPECT_THAT(Transform::validation(64).steps(),
              ElementsAre(Step(Resize{64, 64}), Step(ToTensor{}), Step(Normalize{})));
  EXPECT_EQ(Transform::train(64).size(), 64);
}

TEST(Transform, BothMemoryOrdersHoldTheSameValues) {
  const Transform transform = Transform::train(64);
  const Image image = test_picture(48, 48);
  for (uint64_t seed = 0; seed < 8; ++seed) {
    std::vector<float> first(3 * 64 * 64), last(3 * 64 * 64);
    ASSERT_TRUE(transform.apply(image, seed, false, first.data()));
    ASSERT_TRUE(transform.apply(image, seed, true, last.data()));
    for (size_t i = 0; i < last.size(); ++i) ASSERT_EQ(last[i], first[i % 3 * 64 * 64 + i / 3]) << seed << " " << i;
  }
}

TEST(FusedTransform, AFlipTwiceIsThePictureAgain) {
  const FusedTransform transform{20, {}};
  const Image image = test_picture(20, 20);
  std::vector<float> straight(1200), flipped(1200);
  transform.apply(image, {20, 20}, Augmentation{}, true, straight.data());
  transform.apply(image, {20, 20}, {.flip_horizontally = true, .flip_vertically = true}, true, flipped.data());
  for (size_t pixel = 0; pixel < 400; ++pixel) {
    for (size_t c = 0; c < 3; ++c) ASSERT_EQ(flipped[3 * pixel + c], straight[3 * (399 - pixel) + c]);
  }
}

TEST(Draw, CoversItsRangesAndDependsOnTheSeedAlone) {
  std::set<int> lefts, tops;
  int flips = 0, rare_flips = 0;
  double lowest = 0, highest = 0;
  for (uint64_t i = 0; i < 4000; ++i) {
    SplitMix64 random(sample_seed(42, 1, static_cast<int64_t>(i))), again = random;
    const auto drawn = [&](const Step& step, ImageSize size) { return draw(step, size, random).value(); };
    const Window window = drawn(RandomCrop{60, 64}, {73, 73}).window;
    EXPECT_EQ(window.left, draw(RandomCrop{60, 64}, {73, 73}, again)->window.left);
    lefts.insert(window.left);
    tops.insert(window.top);
    flips += drawn(RandomHorizontalFlip{}, {73, 73}).flip;
    rare_flips += drawn(RandomVerticalFlip{0.1}, {73, 73}).flip;
    EXPECT_FALSE(drawn(RandomVerticalFlip{0}, {73, 73}).flip);
    EXPECT_TRUE(drawn(RandomHorizontalFlip{1}, {73, 73}).flip);
    const double degrees = drawn(RandomRotation{-15, 10}, {73, 73}).affine.degrees;
    lowest = std::min(lowest, degrees);
    highest = std::max(highest, degrees);
  }
  EXPECT_EQ(lefts.size(), 10u);  // 0 … 73 − 64
  EXPECT_EQ(*lefts.rbegin(), 9);
  EXPECT_EQ(tops.size(), 14u);
  EXPECT_NEAR(flips, 2000, 200);
  EXPECT_NEAR(rare_flips, 400, 100);
  EXPECT_GE(lowest, -15.0);
  EXPECT_LT(lowest, -14.5);
  EXPECT_LT(highest, 10.0);
  EXPECT_GT(highest, 9.5);
}

TEST(Draw, AnAffinityStaysWithinItsRanges) {
  const RandomAffine step{{-20, 30}, {{0.1, 0.25}}, {{0.5, 2}}, {{-5, 5}}, {{1, 2}}};
  SplitMix64 random(3);
  int most_x = 0, most_y = 0;
  for (int i = 0; i < 2000; ++i) {
    const AffineDraw drawn = draw(step, {100, 80}, random)->affine;
    most_x = std::max(most_x, std::abs(drawn.shift_x));
    most_y = std::max(most_y, std::abs(drawn.shift_y));
    EXPECT_TRUE(drawn.degrees >= -20 && drawn.degrees < 30);
    EXPECT_TRUE(drawn.scale >= 0.5 && drawn.scale < 2);
    EXPECT_TRUE(drawn.shear_x >= -5 && drawn.shear_x < 5);
    EXPECT_TRUE(drawn.shear_y >= 1 && drawn.shear_y < 2);
  }
  EXPECT_EQ(most_x, 10);
  EXPECT_EQ(most_y, 20);
}

TEST(Draw, RefusesWhatCannotBeDoneToThisPicture) {
  SplitMix64 random(1);
  EXPECT_EQ(draw(RandomCrop{50, 60}, {59, 90}, random).error().message,
            "RandomCrop of 60 x 50 from a picture of 59 x 90; put a Resize before it");
  EXPECT_EQ(draw(Resize{256, {}}, {100000, 1}, random).error().message,
            "a picture of 100000 x 1 would have 25600000 x 256 pixels after Resize to a shorter side of 256");
}

TEST(Transform, TheFusedPassEqualsTheStepsOneByOne) {
  const std::vector<std::vector<Step>> heads = {
      Transform::train(32).steps(),
      Transform::validation(32).steps(),
      {Resize{40, {}}, CenterCrop{32, 32}, ToTensor{}, Normalize{}},
      {Resize{36, {}}, RandomCrop{32, 32}, RandomVerticalFlip{}, ToTensor{}, Normalize{}},
      {Resize{50, 40}, RandomCrop{32, 32}, RandomRotation{80, 100}, ToTensor{}, Normalize{}},
      {Resize{33, 47}, CenterCrop{32, 32}, RandomHorizontalFlip{0.9}, RandomRotation{90, 90}, ToTensor{},
       Normalize{{0.5, 0.4, 0.3}, {0.1, 0.2, 0.3}}},
  };
  for (const std::vector<Step>& steps : heads) {
    const Transform transform = Transform::compose(steps).value();
    EXPECT_TRUE(transform.is_fused());
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const Image image = test_picture(30 + static_cast<int>(seed), 60 - static_cast<int>(2 * seed));
      std::vector<float> fused(3 * 32 * 32), stepwise(3 * 32 * 32);
      ASSERT_TRUE(transform.apply(image, seed, seed % 2 == 0, fused.data()));
      ASSERT_TRUE(transform.apply_stepwise(image, seed, seed % 2 == 0, stepwise.data()));
      EXPECT_EQ(fused, stepwise) << steps.size() << " steps, seed " << seed;
    }
  }
}

// Bytes that are normalised later give the floats bit for bit.
TEST(Transform, TheBytesAreThoseThatTheFloatsComeFrom) {
  const Transform fused = Transform::train(32);
  const Transform stepwise =
      Transform::compose({RandomAffine{{-20, 20}, {}, {}, {}, {}}, Resize{32, 32}, ToTensor{}, Normalize{}}).value();
  ASSERT_TRUE(fused.is_fused());
  ASSERT_FALSE(stepwise.is_fused());
  for (const Transform& transform : {fused, stepwise}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const Image image = test_picture(41, 37, static_cast<int>(seed));
      std::vector<float> floats(3 * 32 * 32);
      std::vector<uint8_t> bytes(floats.size());
      ASSERT_TRUE(transform.apply(image, seed, /*channels_last=*/true, floats.data()));
      ASSERT_TRUE(transform.apply_bytes(image, seed, bytes.data()));
      const auto& [mean, stddev] = transform.statistics();
      for (size_t i = 0; i < bytes.size(); ++i) {
        const float value = (static_cast<float>(bytes[i]) / 255.0f - mean[i % 3]) / stddev[i % 3];
        ASSERT_EQ(value, floats[i]) << "value " << i << ", seed " << seed;
      }
    }
  }
}

TEST(Transform, WhatDoesNotMatchRunsStepByStep) {
  const std::vector<std::vector<Step>> lists = {
      {CenterCrop{32, 32}, ToTensor{}, Normalize{}},
      {Resize{20, 20}, CenterCrop{32, 32}, ToTensor{}, Normalize{}},  // pads
      {Resize{32, 32}, RandomAffine{{-10, 10}, {}, {}, {}, {}}, ToTensor{}, Normalize{}},
      {Resize{32, 32}, RandomRotation{}, RandomHorizontalFlip{}, ToTensor{}, Normalize{}},
      {Resize{64, 64}, Resize{32, {}}, ToTensor{}, Normalize{}},
  };
  for (const std::vector<Step>& steps : lists) {
    const Transform transform = Transform::compose(steps).value();
    EXPECT_FALSE(transform.is_fused());
    EXPECT_EQ(transform.size(), 32);
    std::vector<float> out(3 * 32 * 32);
    EXPECT_TRUE(transform.apply(test_picture(50, 40), 1, true, out.data()));
  }
}

TEST(Transform, AListThatCannotWorkIsRefusedByEntry) {
  const auto reason = [](std::vector<Step> steps) {
    const Result<Transform> composed = Transform::compose(std::move(steps));
    return composed ? std::string() : composed.error().message;
  };
  EXPECT_EQ(reason({}), "must end in ToTensor and Normalize");
  EXPECT_EQ(reason({Resize{32, 32}, ToTensor{}}), "[1] (ToTensor): allowed only as the last step but one");
  EXPECT_EQ(reason({Resize{32, 32}, Normalize{}}), "[1] (Normalize): allowed only as the last step, after ToTensor");
  EXPECT_EQ(reason({Resize{32, {}}, ToTensor{}, Normalize{}}),
            "the pictures would have no fixed size; a Resize to [height, width], a CenterCrop or a RandomCrop gives "
            "them one");
  EXPECT_EQ(reason({Resize{32, 64}, ToTensor{}, Normalize{}}),
            "the pictures would have 64 x 32 pixels; they must become square");
  EXPECT_EQ(reason({Resize{0, 32}, ToTensor{}, Normalize{}}),
            "[0] (Resize): a side of 0 pixels; allowed are 1 to 32768");
  EXPECT_EQ(reason({Resize{32, 32}, RandomCrop{64, 64}, ToTensor{}, Normalize{}}),
            "[1] (RandomCrop): a crop of 64 x 64 from the 32 x 32 pixels that come to it; allowed is what fits (Resize "
            "before it?)");
  EXPECT_EQ(reason({Resize{40, {}}, RandomHorizontalFlip{}, RandomCrop{64, 64}, ToTensor{}, Normalize{}}),
            "[2] (RandomCrop): a crop of 64 x 64 from pictures whose shorter side is 40; allowed is what fits");
  EXPECT_EQ(reason({Resize{40, {}}, RandomCrop{64, 32}, CenterCrop{32, 32}, ToTensor{}, Normalize{}}), "")
      << "a tall picture has room for it";
  EXPECT_EQ(reason({Resize{32, 32}, RandomHorizontalFlip{1.5}, ToTensor{}, Normalize{}}),
            "[1] (RandomHorizontalFlip): \"p\" is not a probability; allowed are 0 to 1");
  EXPECT_EQ(reason({Resize{32, 32}, RandomRotation{5, -5}, ToTensor{}, Normalize{}}),
            "[1] (RandomRotation): \"degrees\" is not a range [low, high]");
  EXPECT_EQ(reason({Resize{32, 32}, ToTensor{}, Normalize{{0, 0, 0}, {1, 0, 1}}}),
            "[2] (Normalize): \"mean\" and \"std\" must be finite, and \"std\" not 0");
}

TEST(SampleSeed, EveryArgumentMatters) {
  std::set<uint64_t> seeds;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    for (int64_t epoch = 0; epoch < 10; ++epoch) {
      for (int64_t index = 0; index < 10; ++index) seeds.insert(sample_seed(seed, epoch, index));
    }
  }
  EXPECT_EQ(seeds.size(), 1000u);
}

}  // namespace
}  // namespace ferrun::data
