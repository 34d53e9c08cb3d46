#include "worker/train/sharded_loader.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>

#include "tests/worker/data/test_pictures.h"

namespace ferrun::train {
namespace {

// Small pictures, in which the reads of each are counted and can be waited for.
class CountedPictures final : public data::Dataset {
 public:
  explicit CountedPictures(int64_t size) : size_(size) {}
  int64_t size() const override { return size_; }
  const std::vector<std::string>& classes() const override { return classes_; }
  int label(int64_t index) const override { return static_cast<int>(index % 2); }
  std::string name(int64_t index) const override { return std::to_string(index); }
  Status load_into(int64_t index, data::Image& image, data::MemoryLease&) const override {
    image = data::test_picture(9, 9, static_cast<int>(index));
    {
      const std::lock_guard lock(mutex_);
      ++reads_;
    }
    read_.notify_all();
    return ok_status();
  }
  int64_t reads() const {
    const std::lock_guard lock(mutex_);
    return reads_;
  }
  // False: not within a minute.
  bool wait_for_reads(int64_t number) const {
    std::unique_lock lock(mutex_);
    return read_.wait_for(lock, std::chrono::minutes(1), [&] { return reads_ >= number; });
  }

 private:
  int64_t size_;
  std::vector<std::string> classes_ = {"a", "b"};
  mutable std::mutex mutex_;
  mutable std::condition_variable read_;
  mutable int64_t reads_ = 0;
};

ShardedLoaderOptions two_at_once(bool shuffle) {
  ShardedLoaderOptions options;
  options.batch_size = 2;
  options.shuffle = shuffle;
  return options;
}

struct Loaders {
  std::shared_ptr<CountedPictures> pictures = std::make_shared<CountedPictures>(12);
  std::shared_ptr<CountedPictures> others = std::make_shared<CountedPictures>(8);
  ShardedLoader train{pictures, data::Transform::train(8), two_at_once(true), {}};
  ShardedLoader val{others, data::Transform::validation(8), two_at_once(false), {}};
};

struct Taken {
  std::vector<int64_t> indices;
  std::vector<float> pixels;
  bool operator==(const Taken&) const = default;
};

Taken take(ShardedLoader& loader, int64_t batches) {
  Taken taken;
  for (int64_t i = 0; i < batches; ++i) {
    const data::Batch batch = loader.next().value();
    taken.indices.insert(taken.indices.end(), batch.indices.begin(), batch.indices.end());
    taken.pixels.insert(taken.pixels.end(), batch.pixels.begin(), batch.pixels.end());
  }
  return taken;
}

TEST(ShardedLoader, TheFollowersFirstBatchesAreReadWhileTheLastOnesAreUsed) {
  Loaders loaders;
  loaders.train.followed_by(loaders.val, 0);
  loaders.train.start(0);
  take(loaders.train, loaders.train.batches() - 3);
  EXPECT_EQ(loaders.others->reads(), 0) << "the training has batches to begin still";
  take(loaders.train, 1);
  EXPECT_TRUE(loaders.others->wait_for_reads(6));
  take(loaders.train, 2);
  loaders.val.start(0);
  EXPECT_EQ(take(loaders.val, 1).indices, (std::vector<int64_t>{0, 1}));
  take(loaders.val, 3);
  EXPECT_EQ(loaders.others->reads(), 8) << "nothing was read twice";
}

TEST(ShardedLoader, OfAnEpochThatBeganEarlyTheBatchesAreTheSame) {
  Loaders early, late;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    for (Loaders* loaders : {&early, &late}) loaders->train.start(epoch);
    if (epoch < 2) early.train.followed_by(early.val, 0);
    EXPECT_EQ(take(early.train, 6), take(late.train, 6)) << epoch;
    if (epoch < 2) early.val.followed_by(early.train, epoch + 1);
    for (Loaders* loaders : {&early, &late}) loaders->val.start(0);
    EXPECT_EQ(take(early.val, 4), take(late.val, 4)) << epoch;
  }
}

TEST(ShardedLoader, AnEpochThatBeganEarlyMakesWayForAnother) {
  Loaders loaders, fresh;
  loaders.val.followed_by(loaders.train, 1);
  loaders.val.start(0);
  take(loaders.val, 4);
  loaders.train.start(1, 4);
  fresh.train.start(1, 4);
  ASSERT_EQ(loaders.train.batches(), 4);
  EXPECT_EQ(take(loaders.train, 4), take(fresh.train, 4));
}

TEST(ShardedLoader, StartsAnewOnceABatchWasTaken) {
  Loaders loaders;
  loaders.train.start(0);
  const Taken first = take(loaders.train, 2);
  loaders.train.start(0);
  EXPECT_EQ(take(loaders.train, 2), first);
}

// 12 pictures by 4 are three batches, 13 are two of 4 and one of 5; on two ranks, each has the shares of the plan.
TEST(ShardedLoader, ASinglePictureAtTheEndJoinsTheBatchBefore) {
  for (const int threads : {0, 2}) {
    ShardedLoaderOptions options;
    options.batch_size = 4;
    options.least_share = 2;
    options.loader.threads = threads;
    std::vector<int64_t> seen(13);
    for (int64_t rank = 0; rank < 2; ++rank) {
      ShardedLoader loader(std::make_shared<CountedPictures>(13), data::Transform::validation(8), options, {2, rank});
      loader.start(0);
      ASSERT_EQ(loader.batches(), 3);
      EXPECT_EQ(loader.samples_in(2), 5);
      for (const size_t size : {size_t{2}, size_t{2}, rank == 0 ? size_t{3} : size_t{2}}) {
        const data::Batch batch = loader.next().value();
        EXPECT_EQ(batch.labels.size(), size);
        for (const int64_t index : batch.indices) ++seen[static_cast<size_t>(index)];
      }
    }
    EXPECT_EQ(seen, std::vector<int64_t>(13, 1));
  }
}

}  // namespace
}  // namespace ferrun::train
