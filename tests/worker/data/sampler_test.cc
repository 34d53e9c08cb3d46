#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <set>

#include "worker/ddp/distributed_order.h"

namespace ferrun::ddp {
namespace {

using ::testing::ElementsAre;

// Values by torch 2.11's DistributedSampler; the parity suite compares hundreds more where Python is there.
TEST(DistributedOrder, OrderIsTorchs) {
  EXPECT_THAT((DistributedOrder{.dataset_size = 10}.indices(0)), ElementsAre(4, 1, 7, 5, 3, 9, 0, 8, 6, 2));
  EXPECT_THAT((DistributedOrder{.dataset_size = 10, .world_size = 3, .rank = 1, .seed = 42}.indices(2)),
              ElementsAre(6, 7, 4, 2));
  EXPECT_THAT(
      (DistributedOrder{.dataset_size = 10, .world_size = 3, .rank = 2, .seed = 42, .drop_last = true}.indices(2)),
      ElementsAre(3, 9, 5));
  EXPECT_THAT((DistributedOrder{.dataset_size = 3, .world_size = 8, .rank = 7, .seed = 42}.indices(1)), ElementsAre(0));
  EXPECT_THAT(
      (DistributedOrder{.dataset_size = 7, .world_size = 2, .rank = 1, .shuffle = false, .seed = 42}.indices(0)),
      ElementsAre(1, 3, 5, 0));
}

TEST(DistributedOrder, OnlyTheSeedsLow32BitsCount) {
  const DistributedOrder sampler{.dataset_size = 10, .seed = (uint64_t{1} << 32) + 5};
  EXPECT_THAT(sampler.indices(0), ElementsAre(1, 4, 9, 6, 3, 5, 0, 2, 8, 7));
  EXPECT_EQ(sampler.indices(0), (DistributedOrder{.dataset_size = 10, .seed = 5}.indices(0)));
}

TEST(DistributedOrder, ALargePermutationIsTorchs) {
  const std::vector<int64_t> order = DistributedOrder{.dataset_size = 100'000, .seed = 42}.indices(0);
  EXPECT_THAT(std::vector<int64_t>(order.begin(), order.begin() + 6),
              ElementsAre(37542, 60279, 68544, 70051, 15790, 14785));
  EXPECT_THAT(std::vector<int64_t>(order.end() - 4, order.end()), ElementsAre(77199, 44288, 94835, 53243));
}

TEST(DistributedOrder, SeedAndEpochAddUp) {
  EXPECT_EQ((DistributedOrder{.dataset_size = 50, .seed = 40}.indices(3)),
            (DistributedOrder{.dataset_size = 50, .seed = 43}.indices(0)));
}

TEST(DistributedOrder, PaddingIsWhatTheRanksHaveTwice) {
  for (const int64_t size : {1, 2, 5, 10, 29, 64}) {
    for (const int64_t world : {1, 2, 3, 7, 64, 100}) {
      for (const bool drop_last : {false, true}) {
        std::map<int64_t, int> seen;
        int64_t total = 0;
        for (int64_t rank = 0; rank < world; ++rank) {
          const DistributedOrder sampler{size, world, rank, true, 42, drop_last};
          std::vector<int64_t> indices = sampler.indices(5);
          EXPECT_EQ(static_cast<int64_t>(indices.size()), sampler.samples_per_rank());
          ASSERT_LE(sampler.padding(), sampler.samples_per_rank());
          indices.resize(static_cast<size_t>(sampler.samples_per_rank() - sampler.padding()));
          for (const int64_t index : indices) ++seen[index];
          total += static_cast<int64_t>(indices.size());
        }
        // Without its padding every picture is there once; with drop_last, at most once.
        EXPECT_EQ(total, drop_last ? size / world * world : size) << size << " over " << world;
        EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](const auto& entry) { return entry.second == 1; }))
            << size << " over " << world;
      }
    }
  }
}

TEST(DistributedOrder, AnEmptyDatasetHasNoIndices) {
  const DistributedOrder sampler{.dataset_size = 0, .world_size = 4, .rank = 1};
  EXPECT_TRUE(sampler.indices(0).empty());
  EXPECT_EQ(sampler.samples_per_rank(), 0);
  EXPECT_EQ(sampler.padding(), 0);
}

}  // namespace
}  // namespace ferrun::ddp
