#include "worker/data/subset.h"

#include <gmock/gmock.h>

#include <set>

#include "worker/data/drawn_faces.h"
#include "worker/data/randperm.h"

namespace ferrun::data {
namespace {

using ::testing::ElementsAre;

TEST(Randperm, IsTorchs) {
  // torch.randperm(10, generator=torch.Generator().manual_seed(42))
  EXPECT_THAT(randperm(10, 42), ElementsAre(2, 6, 1, 8, 4, 5, 0, 9, 3, 7));
  EXPECT_EQ(randperm(10, 42 + (uint64_t{1} << 32)), randperm(10, 42)) << "the seed's low 32 bits count";
  EXPECT_TRUE(randperm(0, 1).empty());
}

TEST(RandomSplit, SizesRoundDownAndTheRestIsDealtOutInOrder) {
  EXPECT_THAT(split_sizes(10, {0.8, 0.1, 0.1}), ElementsAre(8, 1, 1));
  EXPECT_THAT(split_sizes(11, {0.8, 0.1, 0.1}), ElementsAre(9, 1, 1));
  EXPECT_THAT(split_sizes(29, {0.8, 0.1, 0.1}), ElementsAre(24, 3, 2));
  EXPECT_THAT(split_sizes(2, {0.5, 0.25, 0.25}), ElementsAre(2, 0, 0));
}

TEST(RandomSplit, FractionsAreOfOne) {
  EXPECT_TRUE(are_fractions_of_one({0.7, 0.2, 0.1}));
  EXPECT_FALSE(are_fractions_of_one({0.7, 0.2}));
  EXPECT_FALSE(are_fractions_of_one({1.5, -0.5}));
  EXPECT_FALSE(are_fractions_of_one({}));
}

TEST(RandomSplit, PartsAreOfTheWholeAndHaveItsLabels) {
  const std::shared_ptr<const Dataset> whole = DrawnFaces::make({.train_per_class = 5}).train;
  const auto parts = random_split(whole, {0.6, 0.4}, 1);
  std::vector<int64_t> all;
  for (const auto& part : parts) {
    EXPECT_EQ(part->classes(), whole->classes());
    for (int64_t i = 0; i < part->size(); ++i) {
      const int64_t index = part->indices()[static_cast<size_t>(i)];
      all.push_back(index);
      EXPECT_EQ(part->label(i), whole->label(index));
      EXPECT_EQ(part->name(i), whole->name(index));
      EXPECT_EQ(part->identity(i), whole->identity(index));
    }
    EXPECT_EQ(part->load(0).value(), whole->load(part->indices()[0]).value());
  }
  EXPECT_EQ(all.size(), 35u);
  EXPECT_EQ(std::set<int64_t>(all.begin(), all.end()).size(), 35u);
}

TEST(Fingerprint, IsThatOfClassesNamesAndLabels) {
  const DrawnFacesOptions options{.train_per_class = 3, .val_per_class = 2};
  const Split split = DrawnFaces::make(options);
  const std::string own = dataset_fingerprint(split);
  EXPECT_EQ(own.size(), 16u);
  EXPECT_EQ(dataset_fingerprint(DrawnFaces::make(options)), own);
  EXPECT_NE(dataset_fingerprint(*split.train), dataset_fingerprint(*split.val));
  for (const DrawnFacesOptions& other : {DrawnFacesOptions{.train_per_class = 4, .val_per_class = 2},
                                         DrawnFacesOptions{.train_per_class = 3, .val_per_class = 2, .size = 96},
                                         DrawnFacesOptions{.train_per_class = 3, .val_per_class = 2, .seed = 1}}) {
    EXPECT_NE(dataset_fingerprint(DrawnFaces::make(other)), own);
  }
  Split with_test = split;
  with_test.test = split.val;
  EXPECT_NE(dataset_fingerprint(with_test), own);
  EXPECT_NE(dataset_fingerprint(Subset(split.train, {0, 1, 2})), dataset_fingerprint(Subset(split.train, {0, 2, 1})));
}

}  // namespace
}  // namespace ferrun::data
