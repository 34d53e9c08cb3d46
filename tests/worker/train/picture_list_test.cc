#include "worker/train/picture_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "tests/temporary_directory.h"

namespace ferrun::train {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PictureListTest : public ::testing::Test {
 protected:
  void touch(const std::string& name) const {
    fs::create_directories((folder_.path() / name).parent_path());
    std::ofstream(folder_.path() / name) << "x";
  }
  std::string path(const std::string& name = "") const {
    return name.empty() ? folder_.path().string() : (folder_.path() / name).string();
  }
  static Result<std::vector<std::string>> list(const std::vector<std::string>& arguments,
                                               const std::string& input = "") {
    std::istringstream stream(input);
    return list_pictures(arguments, stream);
  }

 private:
  const testing::TemporaryDirectory folder_;
};

TEST_F(PictureListTest, AFolderGivesItsPicturesSortedWithThoseBelow) {
  for (const char* name : {"b/2.JPG", "b/1.png", "a.jpeg", "c.txt", ".hidden.jpg", ".trash/x.jpg", "z.jpg"})
    touch(name);
  fs::create_directory_symlink(path(), path() + "/b/loop");
  const auto files = list({"first.jpg", path(), "-k.jpg"});
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_THAT(*files,
              ElementsAre("first.jpg", path("a.jpeg"), path("b/1.png"), path("b/2.JPG"), path("z.jpg"), "-k.jpg"));
}

TEST_F(PictureListTest, AListComesFromStandardInput) {
  touch("sub/x.jpg");
  const auto files = list({"a.jpg", "-", "z.jpg"}, "one.jpg\r\n\r\n\n" + path("sub") + "\nlast name.jpg");
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_THAT(*files, ElementsAre("a.jpg", "one.jpg", path("sub/x.jpg"), "last name.jpg", "z.jpg"));
}

TEST_F(PictureListTest, NothingToPredictIsAnError) {
  EXPECT_THAT(list({"-"}, "\n").error().message, HasSubstr("standard input"));
}

TEST_F(PictureListTest, AFolderWithoutPicturesKeepsNoOtherFromItsAnswer) {
  touch("empty/readme.txt");
  const auto files = list({"a.jpg", path("empty"), "-"}, path("empty") + "\nz.jpg\n");
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_THAT(*files, ElementsAre("a.jpg", path("empty"), path("empty"), "z.jpg"));
  const PictureList pictures(*files);
  data::Image image;
  data::MemoryLease memory;
  EXPECT_FALSE(pictures.load_into(1, image, memory).ok());
  EXPECT_EQ(pictures.failure(1)->message, path("empty") + ": holds no JPEG or PNG pictures");
}

TEST_F(PictureListTest, PicturesAreDecodedAsAskedFor) {
  data::Image drawn{6, 4, std::vector<uint8_t>(6 * 4 * 3, 200)};
  std::vector<uint8_t> jpeg = data::encode_jpeg(drawn, 90).value();
  // An EXIF segment behind the first marker: orientation 6, a quarter turn.
  const std::vector<uint8_t> exif = {0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8,
                                     0,    1,    1, 18, 0,   3,   0,   0,   0, 1, 0,   6,   0, 0,  0, 0, 0, 0};
  jpeg.insert(jpeg.begin() + 2, exif.begin(), exif.end());
  std::ofstream(path("turned.jpg"), std::ios::binary)
      .write(reinterpret_cast<const char*>(jpeg.data()), std::ssize(jpeg));
  const auto size = [&](const data::DecodeOptions& decode) {
    const PictureList pictures({path("turned.jpg")}, decode);
    data::Image image;
    data::MemoryLease memory;
    const Status read = pictures.load_into(0, image, memory);
    return read ? std::to_string(image.width) + "x" + std::to_string(image.height) : read.error().message;
  };
  EXPECT_EQ(size({}), "6x4");
  EXPECT_EQ(size({.exif_orientation = true}), "4x6");
  EXPECT_THAT(size({.max_pixels = 23}), HasSubstr("turned.jpg"));
}

TEST_F(PictureListTest, ABrokenPictureIsRemembered) {
  touch("broken.jpg");
  const PictureList pictures({path("absent.jpg"), path("broken.jpg")});
  data::Image image;
  data::MemoryLease memory;
  EXPECT_FALSE(pictures.failure(1).has_value());
  EXPECT_FALSE(pictures.load_into(1, image, memory).ok());
  ASSERT_TRUE(pictures.failure(1).has_value());
  EXPECT_THAT(pictures.failure(1)->message, HasSubstr("broken.jpg"));
  EXPECT_FALSE(pictures.load_into(0, image, memory).ok());
  EXPECT_EQ(pictures.failure(0)->kind, ErrorKind::kUser);
}

}  // namespace
}  // namespace ferrun::train
