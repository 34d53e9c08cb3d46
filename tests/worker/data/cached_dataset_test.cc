#include "worker/data/cached_dataset.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/worker/data/test_pictures.h"

namespace ferrun::data {
namespace {

// Counts how often each picture is decoded; one of them cannot be read.
class CountingDataset final : public Dataset {
 public:
  static constexpr int64_t kPictures = 6;
  int64_t size() const override { return kPictures; }
  const std::vector<std::string>& classes() const override { return classes_; }
  int label(int64_t index) const override { return static_cast<int>(index % 2); }
  std::string name(int64_t index) const override { return "picture " + std::to_string(index); }
  std::string identity(int64_t index) const override { return "identity " + std::to_string(index); }
  Status load_into(int64_t index, Image& image, MemoryLease&) const override {
    ++decoded[static_cast<size_t>(index)];
    if (index == broken) return Error{ErrorKind::kUser, name(index) + ": broken"};
    image = test_picture(5, 4, static_cast<int>(index));
    return ok_status();
  }

  int64_t broken = -1;
  mutable std::array<std::atomic<int>, kPictures> decoded{};

 private:
  std::vector<std::string> classes_ = {"a", "b"};
};

constexpr int64_t kPictureBytes = 5 * 4 * 3;

TEST(CachedDataset, DecodesEachPictureOnce) {
  const auto pictures = std::make_shared<CountingDataset>();
  const CachedDataset cached(pictures, std::make_shared<CacheBudget>(1 << 20));
  for (int round = 0; round < 3; ++round) {
    for (int64_t i = 0; i < cached.size(); ++i) {
      EXPECT_EQ(cached.load(i).value(), test_picture(5, 4, static_cast<int>(i)));
    }
  }
  for (const std::atomic<int>& times : pictures->decoded) EXPECT_EQ(times, 1);
  EXPECT_EQ(cached.label(3), pictures->label(3));
  EXPECT_EQ(cached.name(3), pictures->name(3));
  EXPECT_EQ(dataset_fingerprint(cached), dataset_fingerprint(*pictures)) << "it is the same data";
}

TEST(CachedDataset, KeepsNoMoreThanItsBound) {
  const auto pictures = std::make_shared<CountingDataset>();
  const auto budget = std::make_shared<CacheBudget>(2 * kPictureBytes + kPictureBytes / 2);
  const CachedDataset cached(pictures, budget);
  for (int round = 0; round < 2; ++round) {
    for (int64_t i = 0; i < cached.size(); ++i) {
      EXPECT_EQ(cached.load(i).value(), test_picture(5, 4, static_cast<int>(i)));
    }
  }
  EXPECT_EQ(budget->left(), kPictureBytes / 2);
  int again = 0;
  for (const std::atomic<int>& times : pictures->decoded) again += times - 1;
  EXPECT_EQ(again, CountingDataset::kPictures - 2);
}

TEST(CachedDataset, APictureThatCannotBeReadIsTriedEachTime) {
  const auto pictures = std::make_shared<CountingDataset>();
  pictures->broken = 1;
  const CachedDataset cached(pictures, std::make_shared<CacheBudget>(1 << 20));
  for (int round = 0; round < 2; ++round) EXPECT_EQ(cached.load(1).error().message, "picture 1: broken");
  EXPECT_EQ(pictures->decoded[1], 2);
}

TEST(CachedDataset, ThreadsMayAskForTheSamePicture) {
  const auto pictures = std::make_shared<CountingDataset>();
  const CachedDataset cached(pictures, std::make_shared<CacheBudget>(1 << 20));
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int64_t i = 0; i < 200; ++i) {
        const int64_t index = i % cached.size();
        if (cached.load(index).value() != test_picture(5, 4, static_cast<int>(index))) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(CachedDataset, TheSplitsPartsShareOneBound) {
  const auto train = std::make_shared<CountingDataset>(), val = std::make_shared<CountingDataset>();
  Split split;
  split.train = train;
  split.val = val;
  const Split kept = cached(split, CountingDataset::kPictures * kPictureBytes);
  for (int round = 0; round < 2; ++round) {
    for (int64_t i = 0; i < CountingDataset::kPictures; ++i) ASSERT_TRUE(kept.train->load(i));
    for (int64_t i = 0; i < CountingDataset::kPictures; ++i) ASSERT_TRUE(kept.val->load(i));
  }
  EXPECT_EQ(train->decoded[0], 1);
  EXPECT_EQ(val->decoded[0], 2);
  EXPECT_EQ(kept.test, nullptr);
  EXPECT_EQ(cached(split, 0).train, split.train) << "none is asked for";
}

}  // namespace
}  // namespace ferrun::data
