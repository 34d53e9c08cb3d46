#include "worker/data/drawn_faces.h"

#include <gmock/gmock.h>

#include <set>

#include "tests/worker/data/test_pictures.h"
#include "worker/data/image_folder.h"
#include "worker/data/make_data.h"

namespace ferrun::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(DrawnFaces, SevenClassesOfTheAskedSize) {
  const Split split = DrawnFaces::make({.train_per_class = 5, .val_per_class = 2, .size = 48});
  EXPECT_THAT(split.train->classes(), ElementsAre("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"));
  EXPECT_EQ(split.train->size(), 35);
  EXPECT_EQ(split.val->size(), 14);
  EXPECT_EQ(split.train->label(0), 0);
  EXPECT_EQ(split.train->label(34), 6);
  EXPECT_EQ(split.train->name(16), "drawn/train/happy/0001");
  EXPECT_EQ(split.val->name(13), "drawn/val/surprise/0001");
  const Image face = split.train->load(20).value();
  EXPECT_EQ(face.width, 48);
  EXPECT_EQ(face.height, 48);
  EXPECT_EQ(face.pixels.size(), 48u * 48 * 3);
}

TEST(DrawnFaces, AFaceIsAFunctionOfSeedSplitAndIndex) {
  const DrawnFacesOptions options{.train_per_class = 10, .val_per_class = 10, .size = 32, .seed = 1};
  const Split split = DrawnFaces::make(options), again = DrawnFaces::make(options);
  DrawnFacesOptions other = options;
  other.seed = 2;
  const Split another = DrawnFaces::make(other);
  std::set<std::string> different;
  for (int64_t i = 0; i < 70; ++i) {
    EXPECT_EQ(split.train->load(i).value(), again.train->load(i).value());
    for (const Dataset* dataset : {split.train.get(), split.val.get(), another.train.get()}) {
      const Image face = dataset->load(i).value();
      different.emplace(face.pixels.begin(), face.pixels.end());
    }
  }
  EXPECT_EQ(different.size(), 210u);
}

TEST(DrawnFaces, AreNeitherBlackNorWhite) {
  const Split split = DrawnFaces::make({.train_per_class = 20, .val_per_class = 1});
  for (int64_t i = 0; i < split.train->size(); ++i) {
    const Image face = split.train->load(i).value();
    double sum = 0, squares = 0;
    for (const uint8_t value : face.pixels) {
      sum += value;
      squares += double{1} * value * value;
    }
    const double count = static_cast<double>(face.pixels.size()), mean = sum / count;
    EXPECT_GT(mean, 20) << split.train->name(i);
    EXPECT_LT(mean, 235) << split.train->name(i);
    EXPECT_GT(squares / count - mean * mean, 100) << split.train->name(i);
  }
}

TEST(MakeData, WritesAFolderThatImageFolderReads) {
  const TestFolder folder;
  const DrawnFacesOptions options{.train_per_class = 3, .val_per_class = 2, .size = 32};
  const auto report = write_image_folder(folder.path("faces") + "/", options);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->train_pictures, 21);
  EXPECT_EQ(report->val_pictures, 14);
  const auto split = ImageFolder::open_split(folder.path("faces"));
  ASSERT_TRUE(split) << split.error().message;
  EXPECT_EQ(split->train->size(), 21);
  EXPECT_EQ(split->val->name(13), folder.path("faces/val/surprise/0001.jpg"));
  // The JPEG's picture is nearly the drawn one.
  const Image drawn = DrawnFaces::make(options).train->load(10).value(), read = split->train->load(10).value();
  ASSERT_EQ(read.pixels.size(), drawn.pixels.size());
  int64_t difference = 0;
  for (size_t i = 0; i < drawn.pixels.size(); ++i) difference += std::abs(drawn.pixels[i] - read.pixels[i]);
  EXPECT_LT(difference / static_cast<int64_t>(drawn.pixels.size()), 8);
}

TEST(MakeData, LeavesADirectoryWithContentAlone) {
  const TestFolder folder;
  folder.write("faces/mine.txt", {1});
  const DrawnFacesOptions options{.train_per_class = 1, .val_per_class = 1, .size = 16};
  const auto refused = write_image_folder(folder.path("faces"), options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            folder.path("faces") + ": exists and is not empty; choose another directory, or --overwrite to replace it");
  EXPECT_TRUE(std::filesystem::exists(folder.path("faces/mine.txt")));

  ASSERT_TRUE(write_image_folder(folder.path("faces"), options, /*replace=*/true));
  EXPECT_FALSE(std::filesystem::exists(folder.path("faces/mine.txt")));
  EXPECT_TRUE(std::filesystem::exists(folder.path("faces/train/sad/0000.jpg")));
  // Nothing but the folder itself stays behind.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), std::filesystem::directory_iterator()),
            1);
}

TEST(MakeData, AnEmptyDirectoryIsUsedAndAMissingParentIsNamed) {
  const TestFolder folder;
  const DrawnFacesOptions options{.train_per_class = 1, .val_per_class = 1, .size = 16};
  folder.make_folder("empty");
  EXPECT_TRUE(write_image_folder(folder.path("empty"), options));
  const auto missing = write_image_folder(folder.path("no/where"), options);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, folder.path("no") + ": no such directory; make it first");
  const auto file = write_image_folder(folder.write("file", {1}), options);
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error().message, HasSubstr("exists and is not a directory"));
}

}  // namespace
}  // namespace ferrun::data
