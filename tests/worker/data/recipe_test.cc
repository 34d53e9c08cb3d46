#include "worker/data/recipe.h"

#include <gmock/gmock.h>

#include "tests/worker/data/test_pictures.h"

namespace ferrun::data {
namespace {

std::string refusal(const std::string& text) {
  const Result<Recipe> recipe = parse_recipe(text, "r.json");
  EXPECT_FALSE(recipe) << text;
  return recipe ? "" : recipe.error().message;
}

constexpr const char* kEnd = R"({"name": "ToTensor"}, {"name": "Normalize", "mean": [0, 0, 0], "std": [1, 1, 1]})";

// A recipe whose training list begins with `entries` and is 32 × 32 without them.
std::string with_entries(const std::string& entries) {
  return std::string(R"({"train": [{"name": "Resize", "size": [32, 32]}, )") + entries + (entries.empty() ? "" : ", ") +
         kEnd + R"(], "validation": [{"name": "Resize", "size": [32, 32]}, )" + kEnd + "]}";
}

TEST(Recipe, TheDefaultComesBackFromItsText) {
  for (const int size : {64, 224}) {
    const Recipe standard = Recipe::standard(size);
    const Result<Recipe> read = parse_recipe(recipe_text(standard), "r.json");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, standard);
    EXPECT_EQ(recipe_text(*read), recipe_text(standard));
  }
}

TEST(Recipe, OneListAloneComesBackFromItsText) {
  const Transform transform = Transform::validation(64);
  const std::string text = transform_text(transform);
  EXPECT_EQ(text, R"([{"name":"Resize","size":[64,64]}, {"name":"ToTensor"}, )"
                  R"({"name":"Normalize","mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}])");
  const Result<Transform> read = parse_transform(text, "its transforms");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, transform);
  const auto why_not = [](const std::string& bad) { return parse_transform(bad, "its transforms").error().message; };
  EXPECT_EQ(why_not("{}"), "its transforms is missing: a list of transforms");
  EXPECT_THAT(why_not("["), ::testing::StartsWith("its transforms: is no JSON"));
  EXPECT_THAT(why_not(std::string(R"([{"name":"Resize","size":[40,40]}, )") + kEnd + "]"),
              ::testing::HasSubstr("multiple of 32"));
}

TEST(Recipe, TheTextHasAStepALineAndTorchvisionsNames) {
  EXPECT_EQ(recipe_text(Recipe::standard(64)), R"({
  "train": [
    {"name":"Resize","size":[73,73]},
    {"name":"RandomCrop","size":64},
    {"name":"RandomHorizontalFlip","p":0.5},
    {"name":"RandomRotation","degrees":15.0},
    {"name":"RandomVerticalFlip","p":0.5},
    {"name":"ToTensor"},
    {"name":"Normalize","mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}
  ],
  "validation": [
    {"name":"Resize","size":[64,64]},
    {"name":"ToTensor"},
    {"name":"Normalize","mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}
  ]
}
)");
}

TEST(Recipe, EveryTransformIsReadAndWritten) {
  const Result<Recipe> recipe = parse_recipe(with_entries(R"(
      {"name": "Resize", "size": 48}, {"name": "CenterCrop", "size": [40, 44]}, {"name": "RandomCrop", "size": 32},
      {"name": "RandomHorizontalFlip"}, {"name": "RandomVerticalFlip", "p": 0.25},
      {"name": "RandomRotation", "degrees": [0, 90]},
      {"name": "RandomAffine", "degrees": 0},
      {"name": "RandomAffine", "degrees": 5, "translate": [0.1, 0.2], "scale": [0.9, 1.1], "shear": 10},
      {"name": "RandomAffine", "degrees": [1, 2], "shear": [1, 2, 3, 4]})"),
                                             "r.json");
  ASSERT_TRUE(recipe) << recipe.error().message;
  EXPECT_THAT(
      recipe->train.steps(),
      ::testing::ElementsAre(Step(Resize{32, 32}), Step(Resize{48, {}}), Step(CenterCrop{40, 44}),
                             Step(RandomCrop{32, 32}), Step(RandomHorizontalFlip{0.5}), Step(RandomVerticalFlip{0.25}),
                             Step(RandomRotation{0, 90}), Step(RandomAffine{{-0.0, 0}, {}, {}, {}, {}}),
                             Step(RandomAffine{{-5, 5}, {{0.1, 0.2}}, {{0.9, 1.1}}, {{-10, 10}}, {}}),
                             Step(RandomAffine{{1, 2}, {}, {}, {{1, 2}}, {{3, 4}}}), Step(ToTensor{}),
                             Step(Normalize{{0, 0, 0}, {1, 1, 1}})));
  const Result<Recipe> again = parse_recipe(recipe_text(*recipe), "r.json");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *recipe);
}

TEST(Recipe, ABadEntryIsNamedWithWhatIsAllowed) {
  EXPECT_EQ(refusal(with_entries(R"({"name": "ColorJitter"})")),
            "r.json: train[1] (ColorJitter): there is no such transform; allowed: Resize, CenterCrop, RandomCrop, "
            "RandomHorizontalFlip, RandomVerticalFlip, RandomRotation, RandomAffine, ToTensor, Normalize");
  EXPECT_EQ(refusal(with_entries(R"({"name": "RandomCrop", "sizes": 32})")),
            "r.json: train[1] (RandomCrop): there is no \"sizes\"; allowed: size");
  EXPECT_EQ(refusal(with_entries(R"({"name": "RandomCrop"})")),
            "r.json: train[1] (RandomCrop): \"size\" is missing: a whole number of pixels or [height, width]");
  EXPECT_EQ(refusal(with_entries(R"({"name": "CenterCrop", "size": 31.5})")),
            "r.json: train[1] (CenterCrop): \"size\" must be a whole number of pixels or [height, width]");
  EXPECT_EQ(refusal(with_entries(R"({"name": "CenterCrop", "size": "32"})")),
            "r.json: train[1] (CenterCrop): \"size\" must be a whole number of pixels or [height, width]");
  EXPECT_EQ(refusal(with_entries(R"({"name": "CenterCrop", "size": 1e300})")),
            "r.json: train[1] (CenterCrop): \"size\" must be a whole number of pixels or [height, width]");
  EXPECT_EQ(refusal(with_entries(R"({"name": "RandomHorizontalFlip", "p": 2})")),
            "r.json: train[1] (RandomHorizontalFlip): \"p\" is not a probability; allowed are 0 to 1");
  EXPECT_EQ(refusal(with_entries(R"({"name": "RandomRotation", "degrees": -5})")),
            "r.json: train[1] (RandomRotation): \"degrees\" must not be negative, or be [low, high]");
  EXPECT_EQ(refusal(with_entries(R"({"name": "RandomAffine", "degrees": 5, "shear": [1, 2, 3]})")),
            "r.json: train[1] (RandomAffine): \"shear\" must be a number of degrees, [low, high], or [x low, x high, y "
            "low, y high]");
  EXPECT_EQ(refusal(with_entries(R"({"size": 3})")),
            "r.json: train[1]: must be an object with a \"name\"; allowed: Resize, CenterCrop, RandomCrop, "
            "RandomHorizontalFlip, RandomVerticalFlip, RandomRotation, RandomAffine, ToTensor, Normalize");
}

TEST(Recipe, WhatIsWrongWithTheWholeIsSaid) {
  EXPECT_THAT(refusal("{\"train\": [,"), ::testing::StartsWith("r.json: is no JSON: parse error at line 1, column 12"));
  EXPECT_EQ(refusal("{\"train\": [{\"degrees\": 1e999}]}"), "r.json: is no JSON: number overflow parsing '1e999'");
  EXPECT_EQ(refusal("[]"), "r.json: must be an object with \"train\" and \"validation\"");
  EXPECT_EQ(refusal("{\"val\": []}"), "r.json: there is no \"val\"; allowed: train, validation");
  EXPECT_EQ(refusal("{\"train\": []}"), "r.json: train: must end in ToTensor and Normalize");
  EXPECT_EQ(refusal(with_entries(R"({"name": "CenterCrop", "size": 64})")),
            "r.json: train gives pictures of 64 x 64 and validation of 32 x 32; both must have one size");
  std::string odd = with_entries("");
  for (size_t at; (at = odd.find("32, 32")) != std::string::npos;) odd.replace(at, 6, "40, 40");
  EXPECT_EQ(refusal(odd),
            "r.json: the pictures would have 40 x 40 pixels; the network takes squares whose side is a multiple of 32");
}

TEST(Recipe, AFileThatCannotBeReadIsNamed) {
  const TestFolder folder;
  const Result<Recipe> absent = read_recipe(folder.path("none.json"));
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().message,
            "--transforms " + folder.path("none.json") + ": cannot be read: No such file or directory");
  EXPECT_FALSE(read_recipe(folder.path()));  // a folder
  const std::string text = recipe_text(Recipe::standard(32));
  const Result<Recipe> read = read_recipe(folder.write("r.json", {text.begin(), text.end()}));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, Recipe::standard(32));
}

}  // namespace
}  // namespace ferrun::data
