// Schedules without a peer: what they refuse, and where they go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "worker/ddp/lr_schedule.h"
#include "worker/ddp/reduce_lr_on_plateau.h"
#include "worker/ddp/step_lr.h"

namespace ferrun::ddp {
namespace {

using ::testing::HasSubstr;

using checkpoint::Dict;
using checkpoint::List;

using ScheduleVariant = decltype(LrScheduleOptions::schedule);

std::unique_ptr<LrSchedule> made_schedule(ScheduleVariant schedule, LinearWarmup warmup = {}) {
  return make_lr_schedule({1.0, schedule, warmup}).value();
}

std::string refused_options(double lr, ScheduleVariant schedule, LinearWarmup warmup = {}) {
  const auto made = make_lr_schedule({lr, schedule, warmup});
  return made.ok() ? "" : made.error().message;
}

TEST(StepLr, MultipliesEveryStepSizeEpochs) {
  StepLr schedule(1e-3, 3, 0.1);
  double expected = 1e-3;
  for (int epoch = 1; epoch <= 10; ++epoch) {
    schedule.step(0);
    if (epoch % 3 == 0) expected *= 0.1;
    EXPECT_EQ(schedule.lr(), expected) << epoch;
  }
}

TEST(StepLr, ContinuesFromItsState) {
  StepLr schedule(0.5, 2, 0.5);
  for (int i = 0; i < 3; ++i) schedule.step(0);
  StepLr other(1, 99, 1);
  ASSERT_TRUE(other.load_state_dict(schedule.state_dict()).ok());
  other.step(0);
  schedule.step(0);
  EXPECT_EQ(other.lr(), schedule.lr());
  EXPECT_EQ(other.last_epoch(), 4);
  EXPECT_FALSE(other.load_state_dict(Dict{{"gamma", 0.5}}).ok());
  EXPECT_EQ(other.last_epoch(), 4);
}

TEST(StepLr, TakesIntegersForFloatsAndWholeFloatsForIntegers) {
  StepLr schedule(1, 99, 0.1);
  ASSERT_TRUE(
      schedule
          .load_state_dict(
              Dict{{"step_size", 2.0}, {"gamma", 1}, {"base_lrs", List{3}}, {"last_epoch", 1}, {"_last_lr", List{3}}})
          .ok());
  schedule.step(0);
  EXPECT_EQ(schedule.lr(), 3.0);
  EXPECT_EQ(schedule.last_epoch(), 2);
}

TEST(LrSchedule, GoesOnWithoutAStateAtTheOptimizersRate) {
  const auto step = made_schedule(StepLrOptions{10, 0.1});
  step->continue_at(28, 1e-5);
  step->step(0);
  EXPECT_EQ(step->lr(), 1e-5);
  step->step(0);
  EXPECT_EQ(step->lr(), 1e-5 * 0.1);
  const auto warm = made_schedule(StepLrOptions{10, 0.1}, {.epochs = 5});
  warm->continue_at(14, 0.5);
  EXPECT_EQ(warm->lr(), 0.5);
  warm->step(0);
  EXPECT_EQ(warm->lr(), 0.5 * 0.1);  // epoch 15 is the tenth after the warm-up
}

TEST(ReduceLrOnPlateau, AMetricThatIsNoNumberIsNoImprovement) {
  ReduceLrOnPlateau schedule(1.0, {.factor = 0.5, .patience = 1});
  schedule.step(1.0);
  schedule.step(std::nan(""));
  EXPECT_EQ(schedule.lr(), 1.0);
  schedule.step(std::nan(""));
  EXPECT_EQ(schedule.lr(), 0.5);
}

TEST(LrSchedule, AnothersStateIsRefusedByNameAndChangesNothing) {
  const std::vector<std::unique_ptr<LrSchedule>> schedules = [] {
    std::vector<std::unique_ptr<LrSchedule>> all;
    for (const LinearWarmup warmup : {LinearWarmup{}, LinearWarmup{.epochs = 3}}) {
      all.push_back(made_schedule(StepLrOptions{}, warmup));
      all.push_back(made_schedule(CosineAnnealingLrOptions{}, warmup));
      all.push_back(made_schedule(ReduceLrOnPlateauOptions{}, warmup));
    }
    return all;
  }();
  for (const auto& from : schedules) {
    from->step(1);
    for (const auto& to : schedules) {
      if (from == to) continue;
      const double before = to->lr();
      const Status loaded = to->load_state_dict(from->state_dict());
      ASSERT_FALSE(loaded.ok()) << from->name() << " into " << to->name();
      EXPECT_THAT(loaded.error().message,
                  HasSubstr("the checkpoint's schedule is " + from->name() + ", this run's is " + to->name()));
      EXPECT_EQ(to->lr(), before);
    }
  }
  EXPECT_EQ(schedules.back()->name(), "LinearLR, then ReduceLROnPlateau");
}

TEST(LrSchedule, ADamagedStateIsRefused) {
  const auto schedule = made_schedule(StepLrOptions{});
  for (const auto& [key, value] : Dict{{"step_size", 0},
                                       {"last_epoch", -7},
                                       {"last_epoch", 1e300},
                                       {"_last_lr", List{}},
                                       {"_last_lr", List{std::numeric_limits<double>::infinity()}},
                                       {"base_lrs", List{1.0, 1.0}}}) {
    checkpoint::Value state = schedule->state_dict();
    for (auto& [name, entry] : *state.get<Dict>()) {
      if (*name.get<std::string>() == *key.get<std::string>()) entry = value;
    }
    const Status loaded = schedule->load_state_dict(state);
    ASSERT_FALSE(loaded.ok()) << *key.get<std::string>();
    EXPECT_THAT(loaded.error().message, HasSubstr("no StepLR's for one parameter group"));
  }
}

TEST(LrSchedule, OptionsThatMakeNoScheduleAreNamed) {
  EXPECT_EQ(refused_options(1, StepLrOptions{}, {.epochs = 1}), "");
  EXPECT_THAT(refused_options(-1, StepLrOptions{}), HasSubstr("learning rate cannot be -1"));
  EXPECT_THAT(refused_options(1, StepLrOptions{0, 0.1}), HasSubstr("step of at least one epoch"));
  EXPECT_THAT(refused_options(1, CosineAnnealingLrOptions{0, 0}), HasSubstr("at least one epoch"));
  EXPECT_THAT(refused_options(1, ReduceLrOnPlateauOptions{.factor = 1}), HasSubstr("factor between 0 and 1"));
  EXPECT_THAT(refused_options(1, StepLrOptions{}, {.epochs = -1}), HasSubstr("-1 epochs"));
  EXPECT_THAT(refused_options(1, StepLrOptions{}, {.epochs = 1, .start_factor = 0}), HasSubstr("warm-up has to start"));
}

}  // namespace
}  // namespace ferrun::ddp
