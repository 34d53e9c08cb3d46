#include "worker/data/image_file.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>

#include "tests/worker/data/test_pictures.h"
#include "worker/data/picture_ops.h"

namespace ferrun::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string reason(const std::vector<uint8_t>& bytes, const DecodeOptions& limits = {}) {
  Image image;
  const Status status = decode_image(bytes, image, limits);
  return status ? "" : status.error().message;
}

TEST(ImageFile, PngComesBackAsItWas) {
  const Image picture = test_picture(13, 7);
  Image decoded;
  ASSERT_TRUE(decode_image(test_png(picture), decoded));
  EXPECT_EQ(decoded, picture);
}

TEST(ImageFile, JpegComesBackNearlyAsItWas) {
  const Image picture = test_picture(32, 24);
  Image decoded;
  ASSERT_TRUE(decode_image(encode_jpeg(picture, 100).value(), decoded));
  ASSERT_EQ(decoded.width, 32);
  ASSERT_EQ(decoded.height, 24);
  int64_t difference = 0;
  for (size_t i = 0; i < picture.pixels.size(); ++i) difference += std::abs(decoded.pixels[i] - picture.pixels[i]);
  EXPECT_LT(difference / static_cast<int64_t>(picture.pixels.size()), 4);
}

TEST(ImageFile, TheContentDecidesTheTypeNotTheName) {
  const TestFolder folder;
  const Result<Image> image = read_image(folder.write("really-a-png.jpg", test_png(test_picture(4, 4))));
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image.value(), test_picture(4, 4));
}

TEST(ImageFile, ASmallerPictureReusesTheMemoryOfALargerOne) {
  Image image;
  ASSERT_TRUE(decode_image(test_png(test_picture(40, 40)), image));
  const uint8_t* const memory = image.pixels.data();
  ASSERT_TRUE(decode_image(test_png(test_picture(8, 8)), image));
  EXPECT_EQ(image.pixels.data(), memory);
  EXPECT_EQ(image, test_picture(8, 8));
}

TEST(ImageFile, APngCutAnywhereIsAnErrorUntilItsPixelsAreWhole) {
  const std::vector<uint8_t> whole = test_png(test_picture(9, 5));
  const size_t pixels_end = whole.size() - 12;  // IEND's chunk, which carries nothing
  for (size_t size = 8; size < pixels_end; ++size) {
    EXPECT_EQ(reason({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)}), "the PNG is cut short")
        << size << " bytes";
  }
  EXPECT_EQ(reason({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(pixels_end)}), "");
}

TEST(ImageFile, AJpegCutAnywhereIsAnError) {
  const std::vector<uint8_t> whole = test_jpeg(40, 30);
  for (size_t size = 3; size < whole.size(); ++size) {
    EXPECT_THAT(reason({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)}), StartsWith("the JPEG is"))
        << size << " bytes";
  }
}

TEST(ImageFile, AJpegThatEndsTooEarlyInsideIsDamaged) {
  std::vector<uint8_t> bytes = test_jpeg(40, 30);
  bytes.resize(bytes.size() - 40);
  bytes.insert(bytes.end(), {0xff, 0xd9});  // a well-formed end, but rows are missing
  EXPECT_THAT(reason(bytes), StartsWith("the JPEG is damaged: "));
}

TEST(ImageFile, BytesBehindTheEndAreNoDamage) {
  std::vector<uint8_t> bytes = test_jpeg(16, 16);
  bytes.insert(bytes.end(), {'t', 'a', 'i', 'l'});
  EXPECT_EQ(reason(bytes), "");
}

TEST(ImageFile, APngWithAFlippedBitIsDamaged) {
  std::vector<uint8_t> bytes = test_png(test_picture(9, 5));
  bytes[70] ^= 1;
  EXPECT_THAT(reason(bytes), StartsWith("the PNG is damaged: "));
}

TEST(ImageFile, OtherTypesAreNamed) {
  EXPECT_EQ(reason({}), "the file is empty");
  EXPECT_EQ(reason({'G', 'I', 'F', '8', '9', 'a'}), "the file is a GIF; convert it to JPEG or PNG");
  EXPECT_EQ(reason({'R', 'I', 'F', 'F', 0, 0, 0, 0, 'W', 'E', 'B', 'P'}),
            "the file is a WebP; convert it to JPEG or PNG");
  EXPECT_EQ(reason({1, 2, 3}), "the file is neither a JPEG nor a PNG");
  EXPECT_EQ(reason({'R', 'I', 'F', 'F', 0, 0, 0, 0, 'W', 'A', 'V', 'E'}), "the file is neither a JPEG nor a PNG");
  EXPECT_EQ(reason({0, 0, 0, 24, 'f', 't', 'y', 'p', 'h', 'e', 'i', 'c'}),
            "the file is a HEIC; convert it to JPEG or PNG");
}

TEST(ImageFile, WhatIsNoPictureIsNamedWithTheRemedy) {
  const auto of_text = [](const std::string& text) { return reason({text.begin(), text.end()}); };
  EXPECT_EQ(of_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"),
            "the file is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'");
  EXPECT_EQ(of_text("\n<!DOCTYPE html><html><title>Sign in</title></html>"),
            "the file is a web page (HTML), as a download that needs a login or a confirmation leaves; download it "
            "again");
  EXPECT_EQ(of_text("<?xml version='1.0'?><svg></svg>"), "the file is an SVG; convert it to JPEG or PNG");
  EXPECT_EQ(of_text(std::string("\0\5\x16\7\0\2\0\0Mac OS X", 16)),
            "the file is macOS's metadata of another file (AppleDouble); delete it: find . -name '._*' -delete");
  EXPECT_EQ(of_text(std::string(4096, '\0')),
            "the file is nothing but zeros, as a copy that broke off leaves; copy it again");
}

// The header of a PNG that promises that size, and nothing behind it.
std::vector<uint8_t> png_header(uint32_t width, uint32_t height) {
  std::vector<uint8_t> png = test_png(test_picture(1, 1));
  for (size_t i = 0; i < 4; ++i) {
    png[16 + i] = static_cast<uint8_t>(width >> (24 - 8 * i));
    png[20 + i] = static_cast<uint8_t>(height >> (24 - 8 * i));
  }
  uint32_t crc = ~uint32_t{0};
  for (size_t at = 12; at < 29; ++at) {
    crc ^= png[at];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
  }
  for (size_t i = 0; i < 4; ++i) png[29 + i] = static_cast<uint8_t>(~crc >> (24 - 8 * i));
  return png;
}

TEST(ImageFile, ABombIsRefusedByItsHeader) {
  EXPECT_EQ(reason(png_header(100'000'000, 1)),
            "the picture has 100000000 x 1 pixels; a side of at most 1000000 can be read");
  EXPECT_EQ(reason(png_header(13300, 13300)),
            "the picture has 13300 x 13300 pixels; at most 89478485 are read (--max-pixels)");
  EXPECT_EQ(reason(png_header(2'000'000'000, 2'000'000'000)),
            "the picture has 2000000000 x 2000000000 pixels; a side of at most 1000000 can be read");
  EXPECT_EQ(reason(png_header(300, 300), {.max_pixels = 90'000}), "the PNG is damaged: Not enough image data");
}

TEST(ImageFile, MemoryIsTakenFromTheBudgetBeforeThePictureIsDecoded) {
  MemoryBudget budget(1000);
  MemoryLease lease(budget);
  Image image;
  ASSERT_TRUE(decode_image(test_png(test_picture(10, 10)), image, {.memory = &lease}));
  MemoryLease rest(budget);
  rest.take(700);  // 300 are the picture's
  lease.release();
  rest.take(1000);
}

// A JPEG whose first segment is EXIF with that orientation, in either byte order.
std::vector<uint8_t> turned_jpeg(uint8_t orientation, bool little = false) {
  std::vector<uint8_t> exif = {'E', 'x', 'i', 'f', 0, 0};
  const std::vector<uint8_t> big_tiff = {'M',  'M', 0, 42, 0, 0, 0, 8, 0,           1, 1,
                                         0x12, 0,   3, 0,  0, 0, 1, 0, orientation, 0, 0};
  const std::vector<uint8_t> little_tiff = {'I', 'I', 42, 0, 8, 0, 0, 0,           1, 0, 0x12,
                                            1,   3,   0,  1, 0, 0, 0, orientation, 0, 0, 0};
  const std::vector<uint8_t>& tiff = little ? little_tiff : big_tiff;
  exif.insert(exif.end(), tiff.begin(), tiff.end());
  std::vector<uint8_t> jpeg = test_jpeg(24, 16);
  const std::vector<uint8_t> marker = {0xff, 0xe1, 0, static_cast<uint8_t>(exif.size() + 2)};
  jpeg.insert(jpeg.begin() + 2, exif.begin(), exif.end());
  jpeg.insert(jpeg.begin() + 2, marker.begin(), marker.end());
  return jpeg;
}

TEST(ImageFile, TheOrientationIsAppliedOnlyWhenAskedFor) {
  const auto decoded = [](const std::vector<uint8_t>& bytes, bool turn) {
    Image image;
    EXPECT_TRUE(decode_image(bytes, image, {.exif_orientation = turn}));
    return image;
  };
  const Image as_stored = decoded(test_jpeg(24, 16), true);
  EXPECT_EQ(decoded(turned_jpeg(6), false), as_stored);
  EXPECT_EQ(decoded(turned_jpeg(1), true), as_stored);
  EXPECT_EQ(decoded(turned_jpeg(9), true), as_stored);
  EXPECT_EQ(decoded(turned_jpeg(3), true), transpose(as_stored, Transposition::kRotate180));
  EXPECT_EQ(decoded(turned_jpeg(6), true), transpose(as_stored, Transposition::kRotate270));
  EXPECT_EQ(decoded(turned_jpeg(8, /*little=*/true), true), transpose(as_stored, Transposition::kRotate90));
}

TEST(ImageFile, TooManyPixelsAreRefusedBeforeTheyAreAllocated) {
  const DecodeOptions limits{.max_pixels = 99};
  EXPECT_EQ(reason(test_png(test_picture(10, 10)), limits),
            "the picture has 10 x 10 pixels; at most 99 are read (--max-pixels)");
  EXPECT_EQ(reason(test_jpeg(10, 10), limits), "the picture has 10 x 10 pixels; at most 99 are read (--max-pixels)");
}

TEST(ImageFile, ProblemsWithTheFileNameItsPath) {
  const TestFolder folder;
  const auto message = [](const std::string& path) {
    const Result<Image> image = read_image(path);
    EXPECT_FALSE(image);
    EXPECT_EQ(image.error().kind, ErrorKind::kUser);
    return image.error().message;
  };
  EXPECT_EQ(message(folder.path("absent.jpg")),
            folder.path("absent.jpg") + ": cannot be opened: No such file or directory");
  EXPECT_EQ(message(folder.path()), folder.path() + ": is a directory, not a picture");
  EXPECT_EQ(message(folder.write("empty.jpg", {})), folder.path("empty.jpg") + ": the file is empty");
  ASSERT_EQ(::mkfifo(folder.path("pipe.jpg").c_str(), 0600), 0);
  EXPECT_EQ(message(folder.path("pipe.jpg")), folder.path("pipe.jpg") + ": is not a regular file");
  Image image;
  const Status large = read_image(folder.write("large.jpg", test_jpeg(8, 8)), image, {.max_file_bytes = 100});
  ASSERT_FALSE(large);
  EXPECT_THAT(large.error().message, AllOf(StartsWith(folder.path("large.jpg")), HasSubstr("at most 100 are read")));
}

}  // namespace
}  // namespace ferrun::data
