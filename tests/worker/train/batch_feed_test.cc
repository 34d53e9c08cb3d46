#include "worker/train/batch_feed.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/worker/data/test_pictures.h"
#include "tests/worker/train/stub_gpu.h"

namespace ferrun::train {
namespace {

class FewPictures final : public data::Dataset {
 public:
  explicit FewPictures(int64_t size) : size_(size) {}
  int64_t size() const override { return size_; }
  const std::vector<std::string>& classes() const override { return classes_; }
  int label(int64_t index) const override { return static_cast<int>(index % 2); }
  std::string name(int64_t index) const override { return "picture " + std::to_string(index); }
  Status load_into(int64_t index, data::Image& image, data::MemoryLease&) const override {
    ++begun;
    if (index == broken) return Error{ErrorKind::kUser, name(index) + ": broken"};
    image = data::test_picture(40, 33, static_cast<int>(7 * index));
    return ok_status();
  }
  int64_t broken = -1;
  mutable std::atomic<int64_t> begun = 0;  // pictures

 private:
  int64_t size_;
  std::vector<std::string> classes_ = {"a", "b"};
};

ShardedLoaderOptions in_pairs(const ComputeDevice& device, bool channels_last, int threads) {
  ShardedLoaderOptions options;
  options.batch_size = 2;
  options.loader.threads = threads;
  options.loader.channels_last = channels_last;
  options.loader = BatchFeed::for_device(std::move(options.loader), device);
  return options;
}

struct Fed {
  Fed(const std::shared_ptr<FewPictures>& pictures, const ComputeDevice& device, bool channels_last, int threads = 1,
      const ddp::Shard& shard = {})
      : loader(pictures, data::Transform::train(32), in_pairs(device, channels_last, threads), shard),
        feed(loader, device, channels_last) {}
  ShardedLoader loader;
  BatchFeed feed;
};

TEST(BatchFeed, ADeviceGetsTheNumbersOfTheCpuInEveryBit) {
  const auto pictures = std::make_shared<FewPictures>(7);
  for (const bool channels_last : {true, false}) {
    Fed here(pictures, ComputeDevice{}, channels_last);
    Fed there(pictures, StubGpu::device(), channels_last);
    for (int64_t epoch = 0; epoch < 2; ++epoch) {
      here.feed.start(epoch);
      there.feed.start(epoch);
      for (int64_t i = 0; i < here.loader.batches(); ++i) {
        const auto on_cpu = here.feed.next(), on_device = there.feed.next();
        ASSERT_TRUE(on_cpu && on_device);
        EXPECT_TRUE(on_device->tensors.pixels.equal(on_cpu->tensors.pixels)) << "batch " << i;
        EXPECT_EQ(on_device->tensors.pixels.strides(), on_cpu->tensors.pixels.strides());
        EXPECT_TRUE(on_device->tensors.targets.equal(on_cpu->tensors.targets));
        EXPECT_EQ(on_device->labels, on_cpu->labels);
      }
    }
  }
}

TEST(BatchFeed, TwoBatchesTravelAheadAndNoneIsWaitedFor) {
  const auto pictures = std::make_shared<FewPictures>(12);
  Fed fed(pictures, StubGpu::device(), true);
  fed.feed.start(0);
  while (pictures->begun < 5) std::this_thread::yield();  // the third batch is in work, and two are ready
  // Pixels and targets of each batch. How many are ready at a moment is the loader's affair, but never more than two.
  int most = 0;
  for (int64_t i = 0; i < fed.loader.batches(); ++i) {
    ASSERT_TRUE(fed.feed.next());
    const int ahead = StubGpu::copies / 2 - static_cast<int>(i) - 1;
    EXPECT_LE(ahead, 2);
    most = std::max(most, ahead);
    while (i + 1 < fed.loader.batches() && ahead == 0 && !fed.loader.ready()) std::this_thread::yield();
  }
  EXPECT_GE(most, 1);
  EXPECT_EQ(StubGpu::copies, 12);
  EXPECT_EQ(StubGpu::under_way, 12) << "the device has read none of them, and what it reads stays";
  StubGpu::ready = true;
  fed.feed.start(1);
  EXPECT_EQ(StubGpu::under_way, 0);
}

TEST(BatchFeed, MemoryGoesBackWhenTheDeviceHasReadIt) {
  {
    const ComputeDevice device = StubGpu::device();
    StubGpu::ready = true;
    Fed fed(std::make_shared<FewPictures>(40), device, true);
    fed.feed.start(0);
    for (int64_t i = 0; i < fed.loader.batches(); ++i) ASSERT_TRUE(fed.feed.next());
    EXPECT_LE(StubGpu::pinned, 7) << "not one for each of the 20 batches";
    EXPECT_GT(StubGpu::pinned, 0);
  }
  EXPECT_EQ(StubGpu::pinned, 0);
  EXPECT_EQ(StubGpu::under_way, 0);
}

TEST(BatchFeed, ABrokenPictureEndsTheEpochInItsTurn) {
  const auto pictures = std::make_shared<FewPictures>(8);
  pictures->broken = 5;
  Fed fed(pictures, StubGpu::device(), true);
  fed.feed.start(0);
  EXPECT_TRUE(fed.feed.next());
  EXPECT_TRUE(fed.feed.next());
  const auto third = fed.feed.next();
  ASSERT_FALSE(third);
  EXPECT_NE(third.error().message.find("picture 5: broken"), std::string::npos) << third.error().message;
}

TEST(BatchFeed, ARankWithoutAShareGetsAnEmptyBatch) {
  Fed fed(std::make_shared<FewPictures>(3), StubGpu::device(), true, 1, {2, 1});
  fed.feed.start(0);
  ASSERT_EQ(fed.loader.batches(), 2);
  EXPECT_EQ(fed.feed.next()->labels.size(), 1u);
  const auto empty = fed.feed.next();
  ASSERT_TRUE(empty);
  EXPECT_TRUE(empty->labels.empty());
  EXPECT_EQ(empty->tensors.pixels.sizes(), (std::vector<int64_t>{0, 3, 32, 32}));
  EXPECT_EQ(empty->tensors.targets.numel(), 0);
}

TEST(BatchFeed, WorksWithoutThreads) {
  Fed fed(std::make_shared<FewPictures>(6), StubGpu::device(), true, 0);
  fed.feed.start(0);
  for (int64_t i = 0; i < fed.loader.batches(); ++i) EXPECT_TRUE(fed.feed.next());
}

}  // namespace
}  // namespace ferrun::train
