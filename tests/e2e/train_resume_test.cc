// Whatever ends a training run early, continuing it gives what an undisturbed run gives, bit for bit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "tests/e2e/train_support.h"

namespace ferrun::testing {
namespace {

using ::testing::HasSubstr;

class ExactResume : public Training, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, ExactResume, ::testing::Values(1, 2, 3));

// One worker after another is killed, in every epoch and at a moment of the machine's choosing.
TEST_P(ExactResume, AfterAWorkerWasKilledInEveryEpoch) {
  const int ranks = GetParam();
  run(job(ranks, "calm"));
  Program disturbed(job(ranks, "disturbed", {}, {"--max-restarts", "3"}), options());
  for (int epoch = 1; epoch <= 3; ++epoch) {
    if (epoch > 1) {
      ASSERT_TRUE(disturbed.wait_for_output("epoch " + std::to_string(epoch - 1) + "/3")) << disturbed.err();
    }
    kill(worker_pid(epoch % ranks, epoch - 1), SIGKILL);
  }
  EXPECT_TRUE(disturbed.wait().success()) << disturbed.out() << disturbed.err();
  expect_equal_outputs("calm", "disturbed");
}

// With a checkpoint after every step the restarted ranks begin within an epoch.
TEST_P(ExactResume, WithinAnEpochAfterAKill) {
  const int ranks = GetParam();
  run(job(ranks, "calm"));
  Program disturbed(job(ranks, "disturbed", {"--save-every", "1"}, {"--max-restarts", "2"}), options());
  for (int kills = 0; kills < 2; ++kills) {
    const pid_t victim = worker_pid((kills + 1) % ranks, kills);
    const std::string last = path("disturbed", "last_model.pt");
    const auto written = [&] {
      std::error_code ignored;
      return std::filesystem::last_write_time(last, ignored);
    };
    // A few checkpoints into the attempt.
    for (int saves = 0; saves < 3; ++saves) {
      const auto before = written();
      ASSERT_TRUE(eventually([&] { return written() != before; }));
    }
    kill(victim, SIGKILL);
  }
  EXPECT_TRUE(disturbed.wait().success()) << disturbed.out() << disturbed.err();
  EXPECT_THAT(disturbed.out(), HasSubstr("continuing after epoch"));
  expect_equal_outputs("calm", "disturbed");
}

TEST_P(ExactResume, AfterTheJobWasAskedToStop) {
  const int ranks = GetParam();
  run(job(ranks, "calm"));
  Program stopped(job(ranks, "stopped"), options());
  ASSERT_TRUE(stopped.wait_for_output("epoch 1/3")) << stopped.err();
  stopped.signal(SIGTERM);
  EXPECT_EQ(stopped.wait().shell_code(), 128 + SIGTERM) << stopped.err();
  EXPECT_THAT(stopped.out(), HasSubstr("stopped by SIGTERM after 1 epochs"));
  EXPECT_THAT(run(job(ranks, "stopped", {"--resume"})), HasSubstr("continuing after epoch 1"));
  expect_equal_outputs("calm", "stopped");
}

// How many kills in all; `.ci/run kills` asks for 50.
int kills_wanted() {
  const char* const asked = std::getenv("FERRUN_KILLS");
  return asked == nullptr ? 6 : std::max(1, std::atoi(asked));
}

class WholeRecipe : public Training {
 protected:
  // Runs `recipe` and kills its workers, one after another or both at once, at moments that `random` draws: some
  // checkpoints into the attempt, and some milliseconds of computing further, be that in a step, in a save or in a
  // validation. Returns how many kills met a living worker.
  int run_with_kills(const std::string& output, const Words& recipe, int most, std::mt19937& random) const {
    Program disturbed(job(2, output, recipe, {"--max-restarts", std::to_string(most)}), options());
    int kills = 0;
    for (int attempt = 0; kills < most; ++attempt) {
      const auto rank = static_cast<int>(random() % 2);
      const bool both = random() % 4 == 0;
      const auto saves = static_cast<int>(random() % 8);
      const double seconds = static_cast<double>(random() % 40) / 1000;
      const pid_t victim = worker_pid(rank, attempt), other = worker_pid(1 - rank, attempt);
      const auto gone = [victim] { return !process_exists(victim); };
      for (int save = 0; save < saves && !gone(); ++save) {
        const auto before = last_save(output);
        if (!eventually([&] { return last_save(output) != before || gone(); })) break;
      }
      const double computed = computing_seconds(victim) + seconds;
      eventually([&] { return computing_seconds(victim) >= computed || gone(); });
      if (kill(victim, SIGKILL) != 0) break;  // the run has ended before
      ++kills;
      if (both && kill(other, SIGKILL) == 0) ++kills;
    }
    EXPECT_TRUE(disturbed.wait().success()) << disturbed.out() << disturbed.err();
    return kills;
  }

 private:
  std::filesystem::file_time_type last_save(const std::string& output) const {
    std::error_code ignored;
    return std::filesystem::last_write_time(path(output, "last_model.pt"), ignored);
  }
};

// All that a run remembers besides weights and optimizer: gradients that add up, an average of the weights, a schedule
// that looks at the epoch. The moments are drawn from a seed; --gtest_random_seed gives others.
TEST_F(WholeRecipe, ResumesExactlyAfterKillsAtRandom) {
  constexpr int kKillsOfARun = 6;
  const Words recipe = {"--faces",         "20",       "--epochs",    "4",    "--save-every",      "1",
                        "--accumulate",    "2",        "--ema",       "0.9",  "--warmup",          "1",
                        "--scheduler",     "cosine",   "--clip-grad", "1",    "--label-smoothing", "0.1",
                        "--class-weights", "balanced", "--optimizer", "adamw"};
  run(job(2, "calm", recipe));
  std::mt19937 random(20261128U + static_cast<unsigned>(GTEST_FLAG_GET(random_seed)));
  const int wanted = kills_wanted();
  for (int kills = 0, number = 1; kills < wanted; ++number) {
    const std::string output = "disturbed-" + std::to_string(number);
    const int met = run_with_kills(output, recipe, std::min(kKillsOfARun, wanted - kills), random);
    ASSERT_GT(met, 0) << "the run was over before its first kill";
    kills += met;
    expect_equal_outputs("calm", output);
    ASSERT_FALSE(HasFailure()) << "in run " << number << ", after " << kills << " kills in all";
    std::printf("%d kills, and the run of %s equals the undisturbed one\n", kills, output.c_str());
    std::filesystem::remove_all(directory.file(output));
  }
}

using TrainingRun = Training;

TEST_F(TrainingRun, WithTheSameSeedGivesTheSameFiles) {
  run(job(2, "first"));
  run(job(2, "second", {"--num-workers", "3"}));
  expect_equal_outputs("first", "second");
  EXPECT_FALSE(read_file(path("first", "accuracy_and_loss.png")).empty());
  run(job(2, "other", {"--seed", "43"}));
  EXPECT_NE(read_file(path("first", "metrics.csv")), read_file(path("other", "metrics.csv")));
}

TEST_F(TrainingRun, ContinuesAFinishedRunWithMoreEpochs) {
  run(job(2, "long"));
  run(job(2, "short", {"--epochs", "1"}));
  run(job(2, "short", {"--resume"}));
  expect_equal_outputs("long", "short");
}

}  // namespace
}  // namespace ferrun::testing
