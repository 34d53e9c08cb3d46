#include "worker/data/loader.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "tests/worker/data/test_pictures.h"

namespace ferrun::data {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Pictures told apart by their index; some fail to load, in a chosen way.
class FakeDataset final : public Dataset {
 public:
  explicit FakeDataset(int64_t size) : size_(size) {}
  int64_t size() const override { return size_; }
  const std::vector<std::string>& classes() const override { return classes_; }
  int label(int64_t index) const override { return static_cast<int>(index % 3); }
  std::string name(int64_t index) const override { return "fake/" + std::to_string(index); }
  Status load_into(int64_t index, Image& image, MemoryLease&) const override {
    if (std::count(broken.begin(), broken.end(), index)) return Error{ErrorKind::kUser, name(index) + ": broken"};
    if (index == machine_fails_at) return Error{ErrorKind::kPlatform, name(index) + ": too many open files"};
    if (index == throws_at) throw std::runtime_error("unexpected");
    image = test_picture(11, 9, static_cast<int>(index));
    return ok_status();
  }

  std::vector<int64_t> broken;
  int64_t machine_fails_at = -1;
  int64_t throws_at = -1;

 private:
  int64_t size_;
  std::vector<std::string> classes_ = {"a", "b", "c"};
};

std::vector<int64_t> up_to(int64_t size) {
  std::vector<int64_t> indices(static_cast<size_t>(size));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

struct Seen {
  std::vector<int64_t> indices, labels;
  std::vector<float> pixels;
  bool operator==(const Seen&) const = default;
};

// Every batch up to the epoch's end.
std::vector<Seen> drain(Loader& loader) {
  std::vector<Seen> all;
  while (true) {
    Result<std::optional<Batch>> batch = loader.next();
    if (!batch) {
      ADD_FAILURE() << batch.error().message;
      return all;
    }
    if (!batch->has_value()) return all;
    const Batch& b = **batch;
    EXPECT_EQ(b.pixels.size(), b.indices.size() * 3 * static_cast<size_t>(b.height * b.width));
    all.push_back({b.indices, b.labels, {b.pixels.begin(), b.pixels.end()}});
  }
}

std::string next_error(Loader& loader) {
  while (true) {
    const Result<std::optional<Batch>> batch = loader.next();
    if (!batch) return batch.error().message;
    if (!batch.value()) return "";
  }
}

std::shared_ptr<FakeDataset> fake(int64_t size = 50) { return std::make_shared<FakeDataset>(size); }

TEST(Loader, ThreadCountAndPrefetchChangeNothing) {
  const auto batches = [](int threads, int prefetch, int64_t epoch) {
    Loader loader(fake(), Transform::train(16), {.batch_size = 8, .threads = threads, .prefetch = prefetch, .seed = 7});
    loader.start(up_to(50), epoch);
    EXPECT_EQ(loader.batches_per_epoch(), 7);
    return drain(loader);
  };
  const std::vector<Seen> expected = batches(0, 2, 3);
  ASSERT_EQ(expected.size(), 7u);
  EXPECT_EQ(expected.back().indices.size(), 2u);
  EXPECT_EQ(batches(1, 2, 3), expected);
  EXPECT_EQ(batches(4, 2, 3), expected);
  EXPECT_EQ(batches(4, 0, 3), expected);
  EXPECT_EQ(batches(3, 20, 3), expected);
  EXPECT_NE(batches(1, 2, 4), expected);  // another epoch augments differently
}

TEST(Loader, KeepsTheOrderOfTheIndicesAndTheirLabels) {
  Loader loader(fake(), Transform::validation(16), {.batch_size = 3, .threads = 2});
  loader.start({7, 3, 3, 41, 0}, 0);
  const std::vector<Seen> seen = drain(loader);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_THAT(seen[0].indices, ElementsAre(7, 3, 3));
  EXPECT_THAT(seen[0].labels, ElementsAre(1, 0, 0));
  EXPECT_THAT(seen[1].indices, ElementsAre(41, 0));
}

TEST(Loader, ResumesAtABatchNumber) {
  Loader loader(fake(), Transform::train(16), {.batch_size = 8, .threads = 2});
  loader.start(up_to(50), 1);
  const std::vector<Seen> whole = drain(loader);
  loader.start(up_to(50), 1, 5);
  EXPECT_EQ(drain(loader), std::vector<Seen>(whole.begin() + 5, whole.end()));
  loader.start(up_to(50), 1, 7);
  EXPECT_THAT(drain(loader), IsEmpty());
  loader.start(up_to(50), 1, 99);
  EXPECT_THAT(drain(loader), IsEmpty());
}

TEST(Loader, DropLastLeavesOutTheSmallBatch) {
  Loader loader(fake(), Transform::validation(8), {.batch_size = 8, .threads = 1, .drop_last = true});
  loader.start(up_to(50), 0);
  EXPECT_EQ(loader.batches_per_epoch(), 6);
  EXPECT_EQ(drain(loader).size(), 6u);
  loader.start(up_to(7), 0);
  EXPECT_THAT(drain(loader), IsEmpty());
}

TEST(Loader, AnEpochCanBeLeftInTheMiddle) {
  Loader loader(fake(), Transform::train(16), {.batch_size = 4, .threads = 3, .prefetch = 3});
  loader.start(up_to(50), 0);
  const std::vector<Seen> first = drain(loader);
  for (int64_t epoch = 1; epoch < 20; ++epoch) {
    loader.start(up_to(50), epoch);
    ASSERT_TRUE(loader.next());
  }
  loader.start(up_to(50), 0);
  EXPECT_EQ(drain(loader), first);
}

TEST(Loader, CanBeDestroyedAtAnyMoment) {
  for (int round = 0; round < 30; ++round) {
    Loader loader(fake(), Transform::train(32), {.batch_size = 8, .threads = 3});
    if (round % 3 == 0) continue;
    loader.start(up_to(50), 0);
    if (round % 3 == 1) {
      ASSERT_TRUE(loader.next());
    }
  }
}

TEST(Loader, ABatchOutlivesItsLoader) {
  std::optional<Batch> batch;
  {
    Loader loader(fake(), Transform::validation(8), {.batch_size = 4, .threads = 1});
    loader.start(up_to(4), 0);
    batch = std::move(loader.next()).value();
  }
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->pixels.size(), 4u * 3 * 64);
}

TEST(Loader, BatchesReuseTheMemoryOfFinishedOnes) {
  Loader loader(fake(), Transform::validation(8), {.batch_size = 5, .threads = 1, .prefetch = 1});
  std::vector<const float*> memory;
  loader.start(up_to(50), 0);
  while (true) {
    Result<std::optional<Batch>> batch = loader.next();
    ASSERT_TRUE(batch);
    if (!batch->has_value()) break;
    const float* const where = (*batch)->pixels.data();
    if (!std::count(memory.begin(), memory.end(), where)) memory.push_back(where);
  }
  EXPECT_LE(memory.size(), 3u);  // one in use, one ready, one in work
}

// Counts what it gives and takes back.
class CountedMemory final : public PixelMemory {
 public:
  void* allocate(size_t bytes) override {
    ++held;
    ++allocated;
    return ::operator new(bytes);
  }
  void release(void* memory) noexcept override {
    --held;
    ::operator delete(memory);
  }
  std::atomic<int> held = 0, allocated = 0;
};

TEST(Loader, BytesComeFromTheMemoryThatItIsGiven) {
  const auto pictures = std::make_shared<FakeDataset>(20);
  pictures->broken = {3, 4};
  const auto memory = std::make_shared<CountedMemory>();
  const Transform transform = Transform::train(8);
  {
    LoaderOptions options;
    options.batch_size = 5;
    options.bytes = true;
    options.memory = memory;
    options.bad_images = BadImages::kSkip;
    Loader loader(pictures, transform, options);
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      loader.start(up_to(20), epoch);
      int64_t seen = 0;
      while (true) {
        const auto batch = loader.next();
        ASSERT_TRUE(batch);
        if (!*batch) break;
        const std::vector<int64_t>& indices = (*batch)->indices;
        ASSERT_EQ((*batch)->pixels.size(), indices.size() * 3 * 8 * 8);
        for (size_t i = 0; i < indices.size(); ++i, ++seen) {
          std::vector<uint8_t> expected(3 * 8 * 8);
          ASSERT_TRUE(transform.apply_bytes(pictures->load(indices[i]).value(),
                                            sample_seed(options.seed, epoch, indices[i]), expected.data()));
          EXPECT_TRUE(std::equal(expected.begin(), expected.end(), (*batch)->pixels.bytes() + i * expected.size()))
              << "picture " << indices[i];
        }
      }
      EXPECT_EQ(seen, 18);
    }
    EXPECT_LE(memory->allocated, options.prefetch + 2) << "it goes from epoch to epoch";
  }
  EXPECT_EQ(memory->held, 0);
}

TEST(Loader, IsReadyWhenTheNextBatchIs) {
  LoaderOptions options;
  options.batch_size = 2;
  options.threads = 0;
  Loader without_threads(std::make_shared<FakeDataset>(4), Transform::train(8), options);
  without_threads.start(up_to(4), 0);
  EXPECT_FALSE(without_threads.ready()) << "next() would decode it";
  ASSERT_TRUE(without_threads.next());
  ASSERT_TRUE(without_threads.next());
  EXPECT_TRUE(without_threads.ready()) << "the end is known";
  options.threads = 1;
  Loader loader(std::make_shared<FakeDataset>(4), Transform::train(8), options);
  loader.start(up_to(4), 0);
  while (!loader.ready()) std::this_thread::yield();
  EXPECT_EQ(loader.next().value()->indices, (std::vector<int64_t>{0, 1}));
}

TEST(Loader, ABrokenPictureIsNamedTheFirstOfItsBatch) {
  for (const int threads : {0, 1, 4}) {
    auto dataset = fake();
    dataset->broken = {21, 19, 40};
    Loader loader(dataset, Transform::train(16), {.batch_size = 8, .threads = threads});
    loader.start(up_to(50), 0);
    EXPECT_TRUE(loader.next());
    EXPECT_TRUE(loader.next());
    EXPECT_EQ(next_error(loader), "fake/19: broken (--bad-images=skip leaves such pictures out)");
    EXPECT_EQ(next_error(loader), "fake/19: broken (--bad-images=skip leaves such pictures out)")
        << "the error stays until the next start";
    loader.start(up_to(8), 1);
    EXPECT_EQ(drain(loader).size(), 1u);
  }
}

TEST(Loader, SkippedPicturesLeaveTheOthersAsTheyAre) {
  Loader whole(fake(), Transform::train(16), {.batch_size = 8, .threads = 1});
  whole.start(up_to(50), 0);
  const std::vector<Seen> expected = drain(whole);
  const auto floats = 3u * 16 * 16;
  for (const int threads : {0, 1, 4}) {
    auto dataset = fake();
    dataset->broken = {0, 3, 7, 16, 17, 18, 19, 20, 21, 22, 23};
    Loader loader(dataset, Transform::train(16), {.batch_size = 8, .threads = threads, .bad_images = BadImages::kSkip});
    loader.start(up_to(50), 0);
    const std::vector<Seen> seen = drain(loader);
    ASSERT_EQ(seen.size(), expected.size()) << "the number of batches must not change";
    EXPECT_THAT(seen[0].indices, ElementsAre(1, 2, 4, 5, 6));
    EXPECT_THAT(seen[0].labels, ElementsAre(1, 2, 1, 2, 0));
    for (size_t i = 0; i < 5; ++i) {
      const auto from =
          expected[0].pixels.begin() + static_cast<ptrdiff_t>(floats * static_cast<size_t>(seen[0].indices[i]));
      EXPECT_TRUE(std::equal(from, from + floats, seen[0].pixels.begin() + static_cast<ptrdiff_t>(floats * i))) << i;
    }
    EXPECT_EQ(seen[1], expected[1]);
    EXPECT_THAT(seen[2].indices, IsEmpty());
    EXPECT_EQ(loader.skipped(), 11);
    ASSERT_TRUE(loader.first_skipped());
    EXPECT_EQ(loader.first_skipped()->message, "fake/0: broken");
  }
}

TEST(Loader, ABrokenPictureCountsOnceHoweverOftenItComes) {
  auto dataset = fake();
  dataset->broken = {3, 20};
  Loader loader(dataset, Transform::train(16), {.batch_size = 8, .threads = 2, .bad_images = BadImages::kSkip});
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    loader.start({3, 0, 1, 3, 20, 2}, epoch);
    EXPECT_EQ(drain(loader)[0].indices.size(), 3u);
    EXPECT_EQ(loader.skipped(), 2);
  }
}

// Pictures each of which needs more than half of the budget, and how many were in the threads' hands at once.
class LargePictures final : public Dataset {
 public:
  int64_t size() const override { return 40; }
  const std::vector<std::string>& classes() const override { return classes_; }
  int label(int64_t) const override { return 0; }
  std::string name(int64_t index) const override { return std::to_string(index); }
  Status load_into(int64_t, Image& image, MemoryLease& memory) const override {
    memory.take(600);
    const int now = ++held_;
    for (int before = most_; now > before && !most_.compare_exchange_weak(before, now);) {
    }
    image = test_picture(300, 200);
    --held_;
    return ok_status();
  }
  int most() const { return most_; }

 private:
  std::vector<std::string> classes_ = {"a"};
  mutable std::atomic<int> held_ = 0, most_ = 0;
};

TEST(Loader, ThreadsShareOneBudgetOfMemory) {
  const auto dataset = std::make_shared<LargePictures>();
  Loader loader(dataset, Transform::validation(8),
                {.batch_size = 8, .threads = 4, .decode_memory = std::make_shared<MemoryBudget>(1000)});
  loader.start(up_to(40), 0);
  EXPECT_EQ(drain(loader).size(), 5u);
  EXPECT_EQ(dataset->most(), 1);
}

TEST(Loader, APictureThatAStepCannotBeDoneToIsTheDatasFault) {
  const auto transform = Transform::compose({RandomCrop{16, 16}, ToTensor{}, Normalize{}}).value();
  Loader loader(fake(), transform, {.batch_size = 8, .threads = 2});
  loader.start(up_to(50), 0);
  EXPECT_EQ(next_error(loader),
            "fake/0: RandomCrop of 16 x 16 from a picture of 11 x 9; put a Resize before it (--bad-images=skip leaves "
            "such pictures out)");
}

TEST(Loader, WhatIsNotThePicturesFaultIsNeverSkipped) {
  auto dataset = fake();
  dataset->machine_fails_at = 9;
  Loader loader(dataset, Transform::train(16), {.batch_size = 8, .threads = 2, .bad_images = BadImages::kSkip});
  loader.start(up_to(50), 0);
  EXPECT_EQ(next_error(loader), "fake/9: too many open files");
}

TEST(Loader, AnExceptionBecomesAnError) {
  for (const int threads : {0, 2}) {
    auto dataset = fake();
    dataset->throws_at = 30;
    Loader loader(dataset, Transform::train(16), {.batch_size = 8, .threads = threads, .bad_images = BadImages::kSkip});
    loader.start(up_to(50), 0);
    EXPECT_EQ(next_error(loader), "fake/30: unexpected");
  }
}

TEST(Loader, WorksInAForkedChild) {
  // Made before the fork, started after it, as a trainer forked from a template does.
  Loader loader(fake(), Transform::train(16), {.batch_size = 8, .threads = 2});
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    loader.start(up_to(50), 0);
    int batches = 0;
    while (true) {
      const Result<std::optional<Batch>> batch = loader.next();
      if (!batch || !batch.value()) break;
      ++batches;
    }
    ::_exit(batches);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

}  // namespace
}  // namespace ferrun::data
