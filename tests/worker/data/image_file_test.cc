#include "worker/data/image_file.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>

#include "tests/worker/data/test_pictures.h"

namespace ferrun::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string reason(const std::vector<uint8_t>& bytes, const ImageLimits& limits = {}) {
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
}

TEST(ImageFile, TooManyPixelsAreRefusedBeforeTheyAreAllocated) {
  const ImageLimits limits{.max_pixels = 99};
  EXPECT_EQ(reason(test_png(test_picture(10, 10)), limits), "the picture has 10 x 10 pixels; at most 99 are read");
  EXPECT_EQ(reason(test_jpeg(10, 10), limits), "the picture has 10 x 10 pixels; at most 99 are read");
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
