// The small decisions of the trainer: early stopping, metrics, which samples count, what the display says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "ferrun/client.h"
#include "worker/ddp/distributed_order.h"
#include "worker/ddp/epoch_plan.h"
#include "worker/train/early_stopping.h"
#include "worker/train/metrics.h"
#include "worker/train/progress.h"

namespace ferrun::train {
namespace {

using ::testing::HasSubstr;

EarlyStopping with_patience(int64_t patience, Monitor monitor = Monitor::kAccuracy) {
  EarlyStopping stopping;
  stopping.monitor = monitor;
  stopping.patience = patience;
  return stopping;
}

TEST(EarlyStopping, EndsAfterSoManyEpochsWithoutABetterOne) {
  EarlyStopping stopping = with_patience(2);
  EXPECT_TRUE(stopping.improved_by(0.0, 1)) << "the first epoch is the best so far";
  EXPECT_FALSE(stopping.improved_by(0.0, 2)) << "equal is not better";
  EXPECT_FALSE(stopping.exhausted());
  EXPECT_TRUE(stopping.improved_by(0.5, 3));
  EXPECT_EQ(stopping.epochs_without_improvement, 0);
  stopping.improved_by(0.4, 4);
  stopping.improved_by(0.4, 5);
  EXPECT_TRUE(stopping.exhausted());
  EXPECT_EQ(stopping.reason(), "val_accuracy has not been better than 0.5000 (epoch 3) for 2 epochs");
}

TEST(EarlyStopping, NeverEndsWithoutPatience) {
  EarlyStopping stopping = with_patience(0);
  for (int i = 1; i <= 100; ++i) stopping.improved_by(0.1, i);
  EXPECT_FALSE(stopping.exhausted());
}

TEST(EarlyStopping, TakesALowerLossForBetter) {
  EarlyStopping stopping = with_patience(3, Monitor::kLoss);
  EXPECT_TRUE(stopping.improved_by(2.0, 1));
  EXPECT_FALSE(stopping.improved_by(2.5, 2));
  EXPECT_TRUE(stopping.improved_by(1.9, 3));
}

TEST(EarlyStopping, WantsMoreThanTheSmallestDifference) {
  EarlyStopping stopping = with_patience(3);
  stopping.min_delta = 0.25;
  EXPECT_TRUE(stopping.improved_by(0.25, 1));
  EXPECT_FALSE(stopping.improved_by(0.5, 2));
  EXPECT_TRUE(stopping.improved_by(0.75, 3)) << "of the best, not of the last";
}

TEST(EarlyStopping, NeverTakesWhatIsNoNumberForTheBest) {
  EarlyStopping stopping = with_patience(3, Monitor::kLoss);
  EXPECT_FALSE(stopping.improved_by(NAN, 1));
  EXPECT_FALSE(stopping.best.has_value());
  EXPECT_TRUE(stopping.improved_by(3.0, 2));
  EXPECT_FALSE(stopping.improved_by(-INFINITY, 3));
}

TEST(Metrics, AreMeansOverSamples) {
  SampleSums sums{6.0, 3.0, 4.0};
  sums += SampleSums{2.0, 1.0, 4.0};
  EXPECT_EQ(sums.mean_loss(), 1.0);
  EXPECT_EQ(sums.accuracy(), 0.5);
  EXPECT_EQ(SampleSums().mean_loss(), 0.0);
}

std::vector<int64_t> counting(int64_t size) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

TEST(EpochPlan, DealsEachSampleOnceInStepsThatAllRanksTake) {
  for (const int64_t size : {1, 2, 5, 14, 70, 71}) {
    for (const int64_t world_size : {1, 2, 3, 4}) {
      for (const int64_t batch_size : {4, 5, 12, 128}) {
        const std::vector<int64_t> order = counting(size);
        std::vector<int64_t> seen(static_cast<size_t>(size));
        std::vector<int64_t> dealt;
        for (int64_t rank = 0; rank < world_size; ++rank) {
          const ddp::EpochPlan plan = ddp::EpochPlan::make(order, 0, batch_size, {world_size, rank});
          EXPECT_EQ(plan.batches(), (size + batch_size - 1) / batch_size);
          size_t at = 0;
          for (int64_t batch = 0; batch < plan.batches(); ++batch) {
            for (int64_t i = 0; i < plan.own_samples_in(batch); ++i, ++at) {
              const int64_t sample = plan.indices.at(at);
              EXPECT_EQ(sample / batch_size, batch) << "a global batch is a stretch of the order";
              ++seen[static_cast<size_t>(sample)];
            }
          }
          EXPECT_EQ(at, plan.indices.size());
        }
        EXPECT_EQ(seen, std::vector<int64_t>(seen.size(), 1)) << size << " on " << world_size << " by " << batch_size;
      }
    }
  }
}

// A loader cuts a rank's samples into batches of its own size: they must be the plan's.
TEST(EpochPlan, ABatchThatIsNotFullComesLast) {
  for (int64_t rank = 0; rank < 3; ++rank) {
    const ddp::EpochPlan plan = ddp::EpochPlan::make(counting(300), 0, 128, {3, rank});
    EXPECT_EQ(plan.batch_size, rank < 2 ? 43 : 42);
    EXPECT_EQ(plan.own_samples_in(0), plan.batch_size);
    EXPECT_EQ(plan.own_samples_in(1), plan.batch_size);
    EXPECT_EQ(plan.samples_in(0) + plan.samples_in(1) + plan.samples_in(2), 300);
  }
}

// As a loader cuts a rank's samples: all batches of one size but the last, which takes in what is too little for one.
std::vector<int64_t> cut(const ddp::EpochPlan& plan) {
  std::vector<int64_t> sizes;
  int64_t left = std::ssize(plan.indices);
  while (left > 0) {
    const int64_t after = left - plan.batch_size;
    sizes.push_back(after < plan.least_share ? left : plan.batch_size);
    left -= sizes.back();
  }
  return sizes;
}

TEST(EpochPlan, LeavesNoRankWithLessThanItsLeastShare) {
  for (const int64_t world_size : {1, 2, 3, 5}) {
    for (int64_t batch_size = 2 * world_size; batch_size < 40; ++batch_size) {
      for (int64_t size = 2; size < 90; ++size) {
        std::vector<int64_t> seen(static_cast<size_t>(size));
        int64_t counted = 0;
        for (int64_t rank = 0; rank < world_size; ++rank) {
          const ddp::EpochPlan plan = ddp::EpochPlan::make(counting(size), 0, batch_size, {world_size, rank}, 2);
          for (const int64_t sample : plan.indices) ++seen[static_cast<size_t>(sample)];
          std::vector<int64_t> shares;
          counted = 0;
          for (int64_t batch = 0; batch < plan.batches(); ++batch) {
            counted += plan.samples_in(batch);
            ASSERT_LE(plan.samples_in(batch), batch_size + 1);
            const int64_t own = plan.own_samples_in(batch);
            ASSERT_NE(own, 1) << size << " on " << world_size << " by " << batch_size;
            if (own > 0) shares.push_back(own);
          }
          ASSERT_EQ(shares, cut(plan)) << size << " on " << world_size << " by " << batch_size;
        }
        ASSERT_EQ(counted, size);
        ASSERT_EQ(seen, std::vector<int64_t>(seen.size(), 1)) << size << " on " << world_size << " by " << batch_size;
      }
    }
  }
}

TEST(EpochPlan, DealsATailToFewerRanksAndJoinsASingleSampleToTheBatchBefore) {
  const auto shares = [](int64_t size, int64_t batch_size) {
    std::vector<std::vector<int64_t>> all;
    for (int64_t rank = 0; rank < 3; ++rank) {
      const ddp::EpochPlan plan = ddp::EpochPlan::make(counting(size), 0, batch_size, {3, rank}, 2);
      std::vector<int64_t>& own = all.emplace_back();
      for (int64_t batch = 0; batch < plan.batches(); ++batch) own.push_back(plan.own_samples_in(batch));
    }
    return all;
  };
  using Shares = std::vector<std::vector<int64_t>>;
  EXPECT_EQ(shares(15, 12), (Shares{{4, 3}, {4, 0}, {4, 0}}));
  EXPECT_EQ(shares(17, 12), (Shares{{4, 3}, {4, 2}, {4, 0}}));
  EXPECT_EQ(shares(25, 12), (Shares{{4, 5}, {4, 4}, {4, 4}}));
  EXPECT_EQ(shares(1, 12), (Shares{{1}, {0}, {0}})) << "there is nothing to join";
}

TEST(EpochPlan, GoesOnBehindWhatIsDoneWhateverTheWorldAndTheBatchWere) {
  const std::vector<int64_t> order = counting(71);
  std::vector<int64_t> seen(71);
  const auto deal = [&](int64_t done, int64_t batches, int64_t batch_size, int64_t world_size) {
    int64_t taken = 0;
    for (int64_t rank = 0; rank < world_size; ++rank) {
      const ddp::EpochPlan plan = ddp::EpochPlan::make(order, done, batch_size, {world_size, rank});
      size_t at = 0;
      for (int64_t batch = 0; batch < std::min(batches, plan.batches()); ++batch) {
        for (int64_t i = 0; i < plan.own_samples_in(batch); ++i) ++seen[static_cast<size_t>(plan.indices.at(at++))];
        if (rank == 0) taken += plan.samples_in(batch);
      }
    }
    return done + taken;
  };
  int64_t done = deal(0, 2, 12, 2);
  done = deal(done, 1, 12, 3);
  done = deal(done, 1, 10, 2);
  EXPECT_EQ(deal(done, 100, 12, 2), 71);
  EXPECT_EQ(seen, std::vector<int64_t>(71, 1));
}

// Runs that stop and go on at random: any number of ranks, any batch size, within an epoch and over its end.
TEST(EpochPlan, DealsEachSampleOfEachEpochOnceToARunThatChangesItsWorldAtRandom) {
  std::mt19937 random(7);
  const auto draw = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int run = 0; run < 200; ++run) {
    const int64_t size = draw(1, 150);
    const ddp::DistributedOrder sampler{size, 1, 0, true, 42, false};
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      std::vector<int64_t> seen(static_cast<size_t>(size));
      int64_t done = 0, batches_left = 1;
      while (batches_left > 0) {
        const int64_t world_size = draw(1, 5), batch_size = draw(world_size, 40), batches = draw(0, 4);
        int64_t taken = 0;
        for (int64_t rank = 0; rank < world_size; ++rank) {
          const ddp::EpochPlan plan =
              ddp::EpochPlan::make(sampler.indices(epoch), done, batch_size, {world_size, rank});
          size_t at = 0;
          taken = 0;
          for (int64_t batch = 0; batch < std::min(batches, plan.batches()); ++batch) {
            for (int64_t i = 0; i < plan.own_samples_in(batch); ++i) ++seen[static_cast<size_t>(plan.indices.at(at++))];
            taken += plan.samples_in(batch);
          }
          batches_left = plan.batches() - std::min(batches, plan.batches());
        }
        done += taken;
      }
      ASSERT_EQ(seen, std::vector<int64_t>(seen.size(), 1)) << "epoch " << epoch << " of run " << run;
    }
  }
}

TEST(EpochPlan, DealsWhatPythonsSamplerDealsWhereAllDividesEvenly) {
  const ddp::DistributedOrder whole{24, 1, 0, true, 42, false};
  for (int64_t rank = 0; rank < 3; ++rank) {
    const ddp::DistributedOrder sampler{24, 3, rank, true, 42, false};
    EXPECT_EQ(ddp::EpochPlan::make(whole.indices(5), 0, 6, {3, rank}).indices, sampler.indices(5));
  }
}

TEST(EpochPlan, HasNothingLeftOfAnEpochThatIsDone) {
  EXPECT_EQ(ddp::EpochPlan::make(counting(5), 5, 2, {1, 0}).batches(), 0);
  EXPECT_EQ(ddp::EpochPlan::make(counting(5), 99, 2, {1, 0}).batches(), 0) << "the data set has become smaller";
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

TEST(StopRequest, NotesTheFirst) {
  client::note_stop_signals();
  EXPECT_EQ(client::noted_stop_signal(), 0);
  raise(SIGTERM);
  raise(SIGTERM);
  raise(SIGHUP);
  EXPECT_EQ(client::noted_stop_signal(), SIGTERM);
}

// As nohup starts a program.
TEST(StopRequest, LeavesASignalThatIsIgnored) {
  EXPECT_EXIT(
      {
        signal(SIGHUP, SIG_IGN);
        client::note_stop_signals();
        raise(SIGHUP);
        struct sigaction now = {};
        sigaction(SIGHUP, nullptr, &now);
        _exit(now.sa_handler == SIG_IGN ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace ferrun::train
