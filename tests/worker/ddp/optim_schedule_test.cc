// Schedules without a peer: what they refuse, and where they go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "worker/ddp/adam.h"
#include "worker/ddp/cosine_annealing_lr.h"
#include "worker/ddp/cyclic_lr.h"
#include "worker/ddp/linear_lr.h"
#include "worker/ddp/lr_schedule.h"
#include "worker/ddp/reduce_lr_on_plateau.h"
#include "worker/ddp/sequential_lr.h"
#include "worker/ddp/sgd.h"
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

// The first group's rate after each of so many steps, the beginning included.
std::vector<double> rates_of_steps(LrSchedule&& schedule, int steps) {
  std::vector<double> rates{schedule.lr()};
  for (int i = 0; i < steps; ++i) {
    schedule.step();
    rates.push_back(schedule.lr());
  }
  return rates;
}

TEST(LrSchedule, RatesAreWhatTheFormulasSay) {
  using ::testing::Pointwise;
  const auto near = [](std::vector<double> rates) { return Pointwise(::testing::DoubleNear(1e-12), std::move(rates)); };
  EXPECT_THAT(rates_of_steps(MultiStepLr(1, {2, 4, 4}, 0.5), 4), near({1, 1, 0.5, 0.5, 0.125}));
  EXPECT_THAT(rates_of_steps(ExponentialLr(1, 0.5), 3), near({1, 0.5, 0.25, 0.125}));
  EXPECT_THAT(rates_of_steps(ConstantLr(1, 0.25, 2), 3), near({0.25, 0.25, 1, 1}));
  EXPECT_THAT(rates_of_steps(PolynomialLr(1, 4, 2), 5), near({1, 0.5625, 0.25, 0.0625, 0, 0}));
  EXPECT_THAT(rates_of_steps(LambdaLr(2, [](int64_t epoch) { return 1.0 / (1 + double(epoch)); }), 3),
              near({2, 1, 2.0 / 3, 0.5}));
  EXPECT_THAT(rates_of_steps(CosineAnnealingWarmRestarts(1, {2, 2, 0.0}), 6),
              near({1, 0.5, 1, 0.5 + std::sqrt(0.125), 0.5, 0.5 - std::sqrt(0.125), 1}));
  EXPECT_THAT(rates_of_steps(CyclicLr({.base_lr = 0.1, .max_lr = 0.5, .step_size_up = 2}), 4),
              near({0.1, 0.3, 0.5, 0.3, 0.1}));
  std::vector<std::unique_ptr<LrSchedule>> parts;
  parts.push_back(std::make_unique<ConstantLr>(1, 0.5, 2));
  parts.push_back(std::make_unique<ExponentialLr>(1, 0.5));
  EXPECT_THAT(rates_of_steps(ChainedLr(std::move(parts)), 3), near({0.5, 0.25, 0.25, 0.125}));
}

TEST(LrSchedule, SetsTheRateAndTheMomentumOfAnOptimizer) {
  OneCycleLr cycle({.max_lr = 0.5, .total_steps = 10});
  Sgd sgd({}, {.lr = 7, .momentum = 0.1});
  Adam adam({}, {.lr = 7});
  const auto apply = [&] { cycle.apply_to(sgd), cycle.apply_to(adam); };
  apply();
  EXPECT_NEAR(sgd.lr(), 0.02, 1e-12);
  EXPECT_NEAR(sgd.options().momentum, 0.95, 1e-12);
  cycle.step(), cycle.step();
  apply();
  EXPECT_DOUBLE_EQ(sgd.lr(), 0.5);
  EXPECT_DOUBLE_EQ(sgd.options().momentum, 0.85);
  EXPECT_DOUBLE_EQ(adam.lr(), 0.5);
  EXPECT_DOUBLE_EQ(adam.options().beta1, 0.85);
  EXPECT_THROW(StepLr({0.1, 0.2}, 3).apply_to(adam), c10::Error) << "it has one group";
}

std::string thrown_by(const std::function<void()>& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

TEST(LrSchedule, AGroupThatIsAddedNeedsARate) {
  Sgd sgd({}, {.lr = 1});
  StepLr schedule(sgd.lrs(), 2, 0.5);
  schedule.step();
  sgd.add_param_group({{at::zeros({1})}, {.lr = 0.25}});
  EXPECT_THAT(thrown_by([&] { schedule.apply_to(sgd); }), HasSubstr("add_group() is for one that was added"));
  schedule.add_group(0.25);
  schedule.step();
  schedule.apply_to(sgd);
  EXPECT_EQ(sgd.lrs(), (std::vector<double>{0.5, 0.125}));
  EXPECT_TRUE(schedule.group_entries(1).empty());
}

TEST(LrSchedule, AnAddedGroupHasNoRateForWhatDependsOnTheInitialOne) {
  CosineAnnealingLr cosine(1, {4, 0.0});
  cosine.step();
  cosine.add_group(0.5);
  while (cosine.last_epoch() < 4) cosine.step();
  EXPECT_THAT(thrown_by([&] { cosine.step(); }), HasSubstr("group 1 was added"));
  EXPECT_THAT(thrown_by([] { LambdaLr(1, [](int64_t) { return 1.0; }).add_group(1); }), HasSubstr("LambdaLR has no"));
  const auto sequence = made_schedule(StepLrOptions{10, 0.1}, {.epochs = 5});
  EXPECT_THAT(thrown_by([&] { sequence->add_group(1); }), HasSubstr("StepLR at its milestone 5"));
  while (sequence->last_epoch() < 5) sequence->step();
  sequence->add_group(1);
  while (sequence->last_epoch() < 15) sequence->step();
  EXPECT_THAT(sequence->lrs(), ::testing::ElementsAre(::testing::DoubleEq(0.1), ::testing::DoubleEq(0.1)));
}

TEST(LrSchedule, NumbersThatMakeNoScheduleAreRefused) {
  const std::pair<std::function<void()>, const char*> refused[] = {
      {[] { StepLr(1, 0); }, "StepLR's step_size cannot be 0"},
      {[] {
         CosineAnnealingLr(1, {0, 0.0});
       },
       "CosineAnnealingLR's T_max cannot be 0"},
      {[] { LinearLr(1, 2.0); }, "LinearLR's start_factor cannot be 2"},
      {[] { LinearLr(1, 0.5, 1.5); }, "LinearLR's end_factor cannot be 1.5"},
      {[] { LinearLr(1, 0.5, 1.0, 0); }, "LinearLR's total_iters cannot be 0"},
      {[] { PolynomialLr(1, 4, -1.0); }, "PolynomialLR's power cannot be -1"},
      {[] {
         std::vector<std::unique_ptr<LrSchedule>> parts;
         for (int i = 0; i < 2; ++i) parts.push_back(std::make_unique<StepLr>(1, 3));
         SequentialLr(std::move(parts), {0});
       },
       "no step before milestone 0"},
      {[] { ReduceLrOnPlateau(1, {.factor = 1.0}); }, "ReduceLROnPlateau's factor cannot be 1"},
      {[] { OneCycleLr({.max_lr = 1, .total_steps = 10, .pct_start = 0.1}); }, "a phase of no step among its 10"},
      {[] {
         std::vector<std::unique_ptr<LrSchedule>> parts;
         for (int i = 0; i < 3; ++i) parts.push_back(std::make_unique<StepLr>(1, 3));
         SequentialLr(std::move(parts), {5, 3});
       },
       "SequentialLR's milestones are not in order"},
  };
  for (const auto& [make, line] : refused) EXPECT_THAT(thrown_by(make), HasSubstr(line));
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
