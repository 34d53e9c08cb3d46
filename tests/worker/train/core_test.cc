// The small decisions of the trainer: early stopping, metrics, which samples count, what the display says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>

#include "worker/train/early_stopping.h"
#include "worker/train/epoch_plan.h"
#include "worker/train/metrics.h"
#include "worker/train/progress.h"
#include "worker/train/stop_signal.h"

namespace ferrun::train {
namespace {

using ::testing::HasSubstr;

TEST(EarlyStopping, EndsAfterSoManyEpochsWithoutABetterOne) {
  EarlyStopping stopping = EarlyStopping::with_patience(2);
  EXPECT_TRUE(stopping.improved_by(0.0)) << "the first epoch is the best so far";
  EXPECT_FALSE(stopping.improved_by(0.0)) << "equal is not better";
  EXPECT_FALSE(stopping.exhausted());
  EXPECT_TRUE(stopping.improved_by(0.5));
  EXPECT_EQ(stopping.patience_left, 2);
  stopping.improved_by(0.4);
  stopping.improved_by(0.4);
  EXPECT_TRUE(stopping.exhausted());
}

TEST(EarlyStopping, NeverEndsWithoutPatience) {
  EarlyStopping stopping = EarlyStopping::with_patience(0);
  for (int i = 0; i < 100; ++i) stopping.improved_by(0.1);
  EXPECT_FALSE(stopping.exhausted());
}

TEST(Metrics, AreMeansOverSamples) {
  SampleSums sums{6.0, 3.0, 4.0};
  sums += SampleSums{2.0, 1.0, 4.0};
  EXPECT_EQ(sums.mean_loss(), 1.0);
  EXPECT_EQ(sums.accuracy(), 0.5);
  EXPECT_EQ(SampleSums().mean_loss(), 0.0);
}

TEST(EpochPlan, CountsEachSampleOnceOverAllRanks) {
  for (const int64_t size : {1, 2, 5, 14, 70, 71}) {
    for (const int64_t world_size : {1, 2, 3, 4}) {
      for (const int64_t batch_size : {1, 3, 8}) {
        int64_t counted = 0;
        int64_t batches = -1;
        for (int64_t rank = 0; rank < world_size; ++rank) {
          const ddp::DistributedSampler sampler{size, world_size, rank, true, 42, false};
          const EpochPlan plan = EpochPlan::make(sampler, 3, batch_size);
          EXPECT_TRUE(batches == -1 || batches == plan.batches()) << "ranks take the same number of steps";
          batches = plan.batches();
          for (int64_t batch = 0; batch < batches; ++batch) {
            const auto begin = plan.indices.begin() + batch * batch_size;
            const auto end =
                plan.indices.begin() + std::min<int64_t>((batch + 1) * batch_size, std::ssize(plan.indices));
            counted += plan.counted_in_batch(batch, {begin, end});
          }
        }
        EXPECT_EQ(counted, size) << size << " samples on " << world_size << " ranks";
      }
    }
  }
}

TEST(EpochPlan, CountsWhatIsLeftOfABatchWithBrokenPictures) {
  const EpochPlan plan{{10, 11, 12, 13, 14}, 4, 3};  // the fifth pads
  EXPECT_EQ(plan.counted_in_batch(0, {10, 11, 12}), 3);
  EXPECT_EQ(plan.counted_in_batch(0, {10, 12}), 2);
  EXPECT_EQ(plan.counted_in_batch(1, {13, 14}), 1);
  EXPECT_EQ(plan.counted_in_batch(1, {14}), 0);
  EXPECT_EQ(plan.counted_in_batch(1, {}), 0);
}

StepReport report() {
  StepReport report;
  report.epoch = 3;
  report.epochs = 120;
  report.step = 5;
  report.steps = 10;
  report.sums = {18.0, 5.0, 20.0};
  report.images_per_second = 333.3;
  report.seconds_left = 67;
  return report;
}

TEST(Progress, BarFitsTheTerminal) {
  const std::string line = bar_line(report(), 100);
  EXPECT_THAT(line, HasSubstr("epoch   3/120 ["));
  EXPECT_THAT(line, HasSubstr("] 5/10  333 images/s  loss 0.9000  acc 0.250  ETA 1:07"));
  for (int width = 1; width < 200; ++width) {
    EXPECT_LT(static_cast<int>(bar_line(report(), width).size()), std::max(width, 2)) << width;
  }
  const size_t open = line.find('[');
  const size_t room = line.find(']') - open - 1;
  EXPECT_EQ(static_cast<size_t>(std::count(line.begin(), line.end(), '=')), room / 2);
}

TEST(Progress, TellsTimeAsAClock) {
  EXPECT_EQ(clock_text(0), "0:00");
  EXPECT_EQ(clock_text(59.6), "1:00");
  EXPECT_EQ(clock_text(3727), "1:02:07");
  EXPECT_EQ(clock_text(-1), "0:00");
}

TEST(StopSignal, NotesTheFirst) {
  note_stop_signals();
  EXPECT_EQ(noted_stop_signal(), 0);
  raise(SIGTERM);
  raise(SIGTERM);
  raise(SIGHUP);
  EXPECT_EQ(noted_stop_signal(), SIGTERM);
}

}  // namespace
}  // namespace ferrun::train
