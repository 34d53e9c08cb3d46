// An elastic run, which goes on with another number of ranks or another batch size within an epoch, trains on each
// picture of each epoch once. The kernel counts: without loader threads a picture is opened when a step takes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <map>
#include <optional>

#include "tests/e2e/opened_files.h"
#include "tests/e2e/train_support.h"
#include "worker/checkpoint/reader.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int kTrained = 140;   // pictures of an epoch
constexpr int kValidated = 28;  // and of its validation

bool is_trained_on(const std::string& picture) { return picture.starts_with("train/"); }

// How often each picture of an epoch was opened.
using Epoch = std::map<std::string, int>;

// An epoch's training ends with the first picture of its validation.
std::vector<Epoch> epochs_of(const std::vector<std::string>& opened) {
  std::vector<Epoch> epochs;
  bool training = false;
  for (const std::string& picture : opened) {
    if (is_trained_on(picture) && !training) epochs.emplace_back();
    training = is_trained_on(picture);
    if (training) ++epochs.back()[picture];
  }
  return epochs;
}

class ElasticRun : public Training {
 protected:
  void SetUp() override {
    run(worker({"make-data", directory.file("faces"), "--faces", "20", "--image-size", "64"}));
    opened_.emplace(directory.file("faces"));
    if (!opened_->watching()) GTEST_SKIP() << "no inotify instance is left on this machine";
  }
  Words elastic_job(int ranks, const Words& more) const {
    // Of pictures this small no rank can train on one alone.
    Words options = {"--data", directory.file("faces"), "--image-size", "32", "--num-workers", "0"};
    options.insert(options.end(), more.begin(), more.end());
    return job(ranks, "out", options);
  }
  int64_t trained_on() { return std::ranges::count_if(opened_->so_far(), is_trained_on); }
  // Asks the run to stop when its ranks have taken so many pictures more, and returns how many it has taken in the end.
  int64_t stop_after(int64_t pictures, int ranks, const Words& more) {
    const int64_t before = trained_on();
    Program training(elastic_job(ranks, more), options());
    EXPECT_TRUE(eventually([&] { return trained_on() >= before + pictures; })) << training.err();
    training.signal(SIGTERM);
    EXPECT_EQ(training.wait().shell_code(), 128 + SIGTERM) << training.err();
    EXPECT_THAT(training.out(), HasSubstr("stopped by SIGTERM"));
    return trained_on() - before;
  }
  // As last_model.pt has it.
  int64_t samples_done() const {
    const auto checkpoint = checkpoint::read(path("out", "last_model.pt"));
    return checkpoint ? *checkpoint->find("samples_done")->get<int64_t>() : -1;
  }
  void expect_each_picture_once(size_t epochs) {
    ASSERT_TRUE(opened_->watching()) << "the kernel's queue has overflown";
    const std::vector<Epoch> seen = epochs_of(opened_->so_far());
    ASSERT_EQ(seen.size(), epochs);
    for (size_t i = 0; i < epochs; ++i) {
      EXPECT_THAT(seen[i], SizeIs(kTrained)) << "pictures were left out of epoch " << i + 1;
      for (const auto& [picture, times] : seen[i]) EXPECT_EQ(times, 1) << picture << " in epoch " << i + 1;
    }
    EXPECT_EQ(std::ssize(opened_->so_far()), static_cast<int64_t>(epochs) * (kTrained + kValidated));
  }

  std::optional<OpenedFiles> opened_;
};

TEST_F(ElasticRun, TrainsOnEachPictureOfEachEpochOnceOnTwoThenThreeThenTwoRanks) {
  const int64_t first = stop_after(30, 2, {"--batch-size", "12"});
  EXPECT_EQ(samples_done(), first) << "the checkpoint's position is what the steps have taken";
  ASSERT_LT(first, kTrained) << "it was to stop within its first epoch";
  const int64_t second = stop_after(kTrained - first + 30, 3, {"--resume"});
  EXPECT_EQ(first + second, kTrained + samples_done());
  ASSERT_LT(first + second, 2 * kTrained) << "it was to stop within its second epoch";
  EXPECT_THAT(run(elastic_job(2, {"--resume"})), HasSubstr("continuing after epoch 1, step"));
  expect_each_picture_once(3);
}

TEST_F(ElasticRun, TrainsOnEachPictureOnceWhenBatchesAndStepsChangeTheirSizeWithinAnEpoch) {
  const int64_t first = stop_after(30, 2, {"--epochs", "1", "--batch-size", "12"});
  EXPECT_EQ(first % 12, 0);
  const int64_t second = stop_after(20, 2, {"--epochs", "1", "--batch-size", "5", "--accumulate", "3", "--resume"});
  EXPECT_EQ(second % 15, 0) << "a step is never cut in two";
  EXPECT_EQ(samples_done(), first + second);
  ASSERT_LT(first + second, kTrained) << "it was to stop within the epoch";
  run(elastic_job(2, {"--epochs", "1", "--batch-size", "17", "--accumulate", "1", "--resume"}));
  expect_each_picture_once(1);
}

}  // namespace
}  // namespace ferrun::testing
