#include "worker/data/image_folder.h"

#include <gmock/gmock.h>

#include "tests/worker/data/test_pictures.h"

namespace ferrun::data {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> names_below(const ImageFolder& folder, const std::string& root) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < folder.size(); ++i) names.push_back(folder.name(i).substr(root.size() + 1));
  return names;
}

std::string open_error(const std::string& path) {
  const auto opened = ImageFolder::open(path);
  EXPECT_FALSE(opened);
  return opened ? "" : opened.error().message;
}

std::string split_error(const std::string& path) {
  const auto opened = ImageFolder::open_split(path);
  EXPECT_FALSE(opened);
  return opened ? "" : opened.error().message;
}

TEST(ImageFolder, ClassesAndPicturesAreSortedByBytes) {
  const TestFolder root;
  for (const char* name : {"b/2.jpg", "b/10.jpg", "b/1.PNG", "B/x.jpeg", "a/z.jpg", "a/sub/a.jpg", "a/sub-b/a.jpg",
                           "a/sub/deeper/c.jpg", "a/notes.txt"}) {
    root.write(name, {1});
  }
  root.write("stray.jpg", {1});
  const auto folder = ImageFolder::open(root.path() + "/");
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_THAT((*folder)->classes(), ElementsAre("B", "a", "b"));
  EXPECT_THAT(names_below(**folder, root.path()), ElementsAre("B/x.jpeg", "a/z.jpg", "a/sub/a.jpg", "a/sub-b/a.jpg",
                                                              "a/sub/deeper/c.jpg", "b/1.PNG", "b/10.jpg", "b/2.jpg"));
  EXPECT_EQ((*folder)->label(0), 0);
  EXPECT_EQ((*folder)->label(4), 1);
  EXPECT_EQ((*folder)->label(7), 2);
}

TEST(ImageFolder, LoadsThePictureOrNamesTheBrokenOne) {
  const TestFolder root;
  root.write("a/1.png", test_png(test_picture(6, 4)));
  root.write("a/2.jpg", {0xff, 0xd8, 0xff, 0xe0});
  const auto folder = ImageFolder::open(root.path());
  ASSERT_TRUE(folder);
  EXPECT_EQ((*folder)->load(0).value(), test_picture(6, 4));
  const Result<Image> broken = (*folder)->load(1);
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message, root.path("a/2.jpg") + ": the JPEG is cut short");
}

TEST(ImageFolder, LinksToFoldersAreFollowedButNotInCircles) {
  const TestFolder root, elsewhere;
  elsewhere.write("1.jpg", {1});
  root.write("a/0.jpg", {1});
  std::filesystem::create_directory_symlink(elsewhere.path(), root.path("b"));
  const auto folder = ImageFolder::open(root.path());
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_THAT(names_below(**folder, root.path()), ElementsAre("a/0.jpg", "b/1.jpg"));
  std::filesystem::create_directory_symlink(root.path("a"), root.path("a/again"));
  EXPECT_EQ(open_error(root.path()), root.path("a/again") + ": is a link to a folder above itself");
}

TEST(ImageFolder, SaysWhatIsMissing) {
  const TestFolder root;
  EXPECT_EQ(open_error(root.path("none")),
            root.path("none") + ": no such directory; expected a folder with one folder of pictures per class");
  EXPECT_EQ(open_error(root.path()), root.path() + ": has no class folders; expected one folder of pictures per class");
  root.write("a/1.jpg", {1});
  root.write("empty/readme.txt", {1});
  EXPECT_EQ(open_error(root.path()),
            root.path("empty") + ": has no picture (.jpg, .jpeg, .png); every class folder needs at least one");
}

class Layouts : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(Layouts, AreFound) {
  const auto [train, val] = GetParam();
  const TestFolder root;
  root.write(std::string(train) + "/a/1.jpg", {1});
  root.write(std::string(train) + "/a/2.jpg", {1});
  root.write(std::string(val) + "/a/3.jpg", {1});
  const auto split = ImageFolder::open_split(root.path());
  ASSERT_TRUE(split) << split.error().message;
  EXPECT_EQ(split->train->size(), 2);
  EXPECT_EQ(split->val->name(0), root.path(val) + "/a/3.jpg");
}

INSTANTIATE_TEST_SUITE_P(ImageFolder, Layouts,
                         ::testing::Values(std::pair("train", "val"), std::pair("train", "validation"),
                                           std::pair("train", "test"), std::pair("train/train", "test/test")));

TEST(ImageFolder, ValidationComesBeforeTestWhenBothAreThere) {
  const TestFolder root;
  for (const char* name : {"train/a/1.jpg", "val/a/1.jpg", "test/a/1.jpg"}) root.write(name, {1});
  EXPECT_EQ(ImageFolder::open_split(root.path())->val->name(0), root.path("val/a/1.jpg"));
}

TEST(ImageFolder, SplitErrorsNameFolderAndExpectation) {
  const TestFolder root;
  EXPECT_EQ(split_error(root.path("x")),
            root.path("x") + ": no such directory; --data expects a folder that holds train/ and val/");
  root.write("train/a/1.jpg", {1});
  EXPECT_EQ(split_error(root.path()), root.path() +
                                          ": expected train/ with val/, validation/ or test/ below it (or train/train "
                                          "with test/test), one folder per class in each");
  root.write("train/b/1.jpg", {1});
  root.write("val/a/1.jpg", {1});
  EXPECT_EQ(split_error(root.path()),
            root.path("val") + ": lacks b; it must have the same class folders as " + root.path("train"));
  root.write("val/c/1.jpg", {1});
  EXPECT_EQ(
      split_error(root.path()),
      root.path("val") + ": lacks b and has also c; it must have the same class folders as " + root.path("train"));
}

}  // namespace
}  // namespace ferrun::data
