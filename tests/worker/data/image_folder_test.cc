#include "worker/data/image_folder.h"

#include <gmock/gmock.h>

#include "tests/worker/data/test_pictures.h"

namespace ferrun::data {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

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

TEST(ImageFolder, LinksInARingAreRefused) {
  const TestFolder root, elsewhere;
  root.write("a/0.jpg", {1});
  elsewhere.write("b/0.jpg", {1});
  std::filesystem::create_directory_symlink(elsewhere.path("b"), root.path("a/to-b"));
  std::filesystem::create_directory_symlink(root.path("a"), elsewhere.path("b/to-a"));
  EXPECT_EQ(open_error(root.path()), root.path("a/to-b/to-a") + ": is a link to a folder above itself");
}

TEST(ImageFolder, WhatProgramsLeaveBehindIsNoClassAndNoPicture) {
  const TestFolder root;
  for (const char* name : {"a/1.jpg", "b/2.jpg", ".ipynb_checkpoints/1-checkpoint.jpg", "a/._1.jpg", "a/.DS_Store",
                           "a/.ipynb_checkpoints/1-checkpoint.jpg", "a/Thumbs.db", "__MACOSX/a/._1.jpg"}) {
    root.write(name, {1});
  }
  const auto folder = ImageFolder::open(root.path());
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_THAT((*folder)->classes(), ElementsAre("a", "b"));
  EXPECT_THAT(names_below(**folder, root.path()), ElementsAre("a/1.jpg", "b/2.jpg"));
  EXPECT_THAT((*folder)->notes(), ElementsAre(root.path() + ": left out .DS_Store, ._1.jpg and 4 more hidden files and "
                                                            "folders"));
}

TEST(ImageFolder, FilesThatAreNoPicturesByNameAreLeftOutWithALine) {
  const TestFolder root;
  for (const char* name : {"a/1.jpg", "a/2.gif", "a/3.jfif", "b/4.JPG", "b/5.gif", "b/README"}) root.write(name, {1});
  const auto folder = ImageFolder::open(root.path());
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_THAT(names_below(**folder, root.path()), ElementsAre("a/1.jpg", "b/4.JPG"));
  EXPECT_THAT((*folder)->notes(), ElementsAre(root.path() + ": left out 4 files that are no pictures by name (.gif, "
                                                            ".jfif, no extension), as torchvision does"));
}

TEST(ImageFolder, AClassNameThatIsNoUtf8IsRefusedWithTheRemedy) {
  const TestFolder root;
  root.write("a/1.jpg", {1});
  root.write("gai\xe9/1.jpg", {1});
  EXPECT_EQ(
      open_error(root.path()),
      root.path("gai\\xe9") +
          ": the class folder's name is no UTF-8, so Python could not read it from a checkpoint; rename it (an old "
          "Latin-1 name: convmv -f latin1 -t utf8 -r --notest '" +
          root.path() + "')");
  const TestFolder good;
  good.write("a/h\xe9.jpg", {1});
  EXPECT_TRUE(ImageFolder::open(good.path())) << "a picture's name is its own business";
}

TEST(ImageFolder, OneNameInTwoUnicodeFormsIsRefused) {
  const TestFolder root;
  root.write("train/fâché/1.jpg", {1});
  root.write("val/fa\u0302che\u0301/1.jpg", {1});
  EXPECT_THAT(split_error(root.path()),
              StartsWith(root.path("val") + ": its class folder fa\u0302che\u0301 and that of " + root.path("train") +
                         " are the same name in two Unicode forms"));
  root.write("train/fa\u0302che\u0301/1.jpg", {1});
  EXPECT_THAT(split_error(root.path()), StartsWith(root.path("train") + ": two class folders have the same name"));
}

TEST(ImageFolder, NumbersAsClassNamesGetANote) {
  const TestFolder root;
  for (const char* name : {"0/1.jpg", "1/1.jpg", "2/1.jpg", "10/1.jpg"}) root.write(name, {1});
  const auto folder = ImageFolder::open(root.path());
  ASSERT_TRUE(folder);
  EXPECT_THAT((*folder)->classes(), ElementsAre("0", "1", "10", "2"));
  EXPECT_THAT((*folder)->notes(), ElementsAre(root.path() + ": the class folders are numbers, which are sorted as "
                                                            "text, as in torchvision: label 2 is 10"));
}

class Layouts : public ::testing::TestWithParam<const char*> {};

TEST_P(Layouts, AreFound) {
  const std::string val = GetParam();
  const TestFolder root;
  for (const std::string& name : {std::string("train/a/1.jpg"), std::string("train/a/2.jpg"), val + "/a/3.jpg"})
    root.write(name, {1});
  const auto split = ImageFolder::open_split(root.path() + "/");
  ASSERT_TRUE(split) << split.error().message;
  EXPECT_EQ(split->train->size(), 2);
  EXPECT_EQ(split->val->name(0), root.path(val) + "/a/3.jpg");
  EXPECT_EQ(split->val->identity(0), "a/3.jpg");
  EXPECT_EQ(split->validation, root.path(val));
  EXPECT_EQ(split->test, nullptr);
}

INSTANTIATE_TEST_SUITE_P(ImageFolder, Layouts, ::testing::Values("val", "valid", "validation"));

TEST(ImageFolder, TestPicturesNeverValidate) {
  const TestFolder root;
  for (const char* name : {"train/a/1.jpg", "test/a/2.jpg", "test/a/3.jpg"}) root.write(name, {1});
  EXPECT_EQ(split_error(root.path()),
            root.path() +
                ": has train/ and test/ but nothing to validate on, and test pictures never choose a model; "
                "add val/, or take a part of train/ with --split 0.9,0.1");
  root.write("val/a/1.jpg", {1});
  const auto split = ImageFolder::open_split(root.path());
  ASSERT_TRUE(split) << split.error().message;
  EXPECT_EQ(split->val->name(0), root.path("val/a/1.jpg"));
  ASSERT_NE(split->test, nullptr);
  EXPECT_EQ(split->test->size(), 2);
  EXPECT_THAT(split->notes, ElementsAre());
}

TEST(ImageFolder, ATestFolderWithoutLabelsIsNotedAndNotUsed) {
  const TestFolder root;
  for (const char* name : {"train/a/1.jpg", "val/a/2.jpg", "test/3.jpg"}) root.write(name, {1});
  const auto split = ImageFolder::open_split(root.path());
  ASSERT_TRUE(split) << split.error().message;
  EXPECT_EQ(split->test, nullptr);
  EXPECT_THAT(split->notes, ElementsAre("no test pictures: " + root.path("test") +
                                        ": has no class folders; expected one folder of pictures per class"));
}

TEST(ImageFolder, AFolderOfClassesIsSplitByShares) {
  const TestFolder root;
  for (int i = 0; i < 10; ++i) root.write("a/" + std::to_string(i) + ".jpg", {1});
  FolderOptions options;
  options.split = {0.8, 0.1, 0.1};
  const auto split = ImageFolder::open_split(root.path(), options);
  ASSERT_TRUE(split) << split.error().message;
  // torch.randperm(10) of seed 42 begins with 2, 6 and ends with 3, 7.
  EXPECT_EQ(split->train->size(), 8);
  EXPECT_EQ(split->train->identity(0), "a/2.jpg");
  EXPECT_EQ(split->val->identity(0), "a/3.jpg");
  EXPECT_EQ(split->test->identity(0), "a/7.jpg");
  EXPECT_EQ(split->validation, "0.1 of " + root.path() + ", drawn by seed 42");
  options.split = {0.97, 0.01, 0.02};
  const auto empty = ImageFolder::open_split(root.path(), options);
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().message, root.path() + ": --split leaves nothing to validate of its 10 pictures");
}

TEST(ImageFolder, TrainAloneIsSplitAndItsTestFolderStaysTheTestPart) {
  const TestFolder root;
  for (int i = 0; i < 10; ++i) root.write("train/a/" + std::to_string(i) + ".jpg", {1});
  root.write("test/a/1.jpg", {1});
  FolderOptions options;
  options.split = {0.9, 0.1};
  const auto split = ImageFolder::open_split(root.path(), options);
  ASSERT_TRUE(split) << split.error().message;
  EXPECT_EQ(split->train->size(), 9);
  EXPECT_EQ(split->val->size(), 1);
  EXPECT_EQ(split->test->name(0), root.path("test/a/1.jpg"));
  options.split = {0.8, 0.1, 0.1};
  EXPECT_EQ(ImageFolder::open_split(root.path(), options).error().message,
            root.path("test") + ": is the test part already; give --split two shares, to train and to validate");
  root.write("val/a/1.jpg", {1});
  EXPECT_EQ(ImageFolder::open_split(root.path(), options).error().message,
            root.path("val") + ": validates already; leave --split out, or rename it");
}

TEST(ImageFolder, SplitErrorsNameFolderAndExpectation) {
  const TestFolder root;
  EXPECT_EQ(split_error(root.path("x")),
            root.path("x") + ": no such directory; --data expects a folder that holds train/ and val/");
  EXPECT_EQ(split_error(root.path()),
            root.path() +
                ": expected train/ and val/ (or valid/, validation/) below it, one folder per class in each; a "
                "folder of class folders alone is divided with --split 0.8,0.1,0.1");
  root.write("train/a/1.jpg", {1});
  EXPECT_EQ(split_error(root.path()),
            root.path() +
                ": has train/ but no val/ (or valid/, validation/); add it, or take a part of train/ with "
                "--split 0.9,0.1");
  root.write("train/b/1.jpg", {1});
  root.write("val/a/1.jpg", {1});
  EXPECT_EQ(split_error(root.path()),
            root.path("val") + ": lacks b; it must have the same class folders as " + root.path("train"));
  root.write("val/c/1.jpg", {1});
  EXPECT_EQ(
      split_error(root.path()),
      root.path("val") + ": lacks b and has also c; it must have the same class folders as " + root.path("train"));
  root.write("valid/a/1.jpg", {1});
  EXPECT_EQ(split_error(root.path()), root.path() + ": holds " + root.path("val") + ", " + root.path("valid") +
                                          "; which one validates? Remove or rename the other");
}

}  // namespace
}  // namespace ferrun::data
