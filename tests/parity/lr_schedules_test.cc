// Every schedule against torch.optim.lr_scheduler's over 200 steps with two parameter groups, bit for bit, also when
// either goes on from the other's state; and what comes of them in torch::optim's optimizers.
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>

#include <cmath>
#include <functional>
#include <map>
#include <optional>

#include "tests/parity/peer_values.h"
#include "worker/checkpoint/writer.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/cosine_annealing_lr.h"
#include "worker/ddp/cyclic_lr.h"
#include "worker/ddp/linear_lr.h"
#include "worker/ddp/moving_average.h"
#include "worker/ddp/reduce_lr_on_plateau.h"
#include "worker/ddp/sequential_lr.h"
#include "worker/ddp/sgd.h"
#include "worker/ddp/step_lr.h"

namespace ferrun::parity {
namespace {

using namespace ddp;  // NOLINT: a table of its classes
using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

constexpr size_t kSteps = 200;
constexpr size_t kScheduleStops[] = {1, 7, 40, 133};
constexpr size_t kAdded[] = {20, 100}, kAfter = 40;

using Pointer = std::unique_ptr<LrSchedule>;

template <typename... Parts>
std::vector<Pointer> parts_of(Parts... parts) {
  std::vector<Pointer> all;
  (all.push_back(std::make_unique<Parts>(std::move(parts))), ...);
  return all;
}

std::map<std::string, std::function<Pointer()>> every_schedule(const GroupRates& rates = {0.1, 0.02}) {
  const GroupRates low{0.001, 0.002}, high{0.1, 0.05}, highest{0.5, 0.1};
  std::map<std::string, std::function<Pointer()>> all;
  const auto add = [&all](const char* name, auto make) {
    all[name] = [make] { return std::make_unique<decltype(make())>(make()); };
  };
  add("step", [=] { return StepLr(rates, 13, 0.7); });
  add("multi_step", [=] { return MultiStepLr(rates, {0, 5, 5, 40, 150}, 0.5); });
  add("exponential", [=] { return ExponentialLr(rates, 0.97); });
  add("constant", [=] { return ConstantLr(rates, 0.3, 41); });
  add("linear", [=] { return LinearLr(rates, 0.2, 0.7, 120); });
  add("polynomial", [=] { return PolynomialLr(rates, 150, 1.7); });
  add("lambda", [=] {
    return LambdaLr(rates, {[](int64_t step) { return std::pow(0.98, static_cast<double>(step)); },
                            [](int64_t step) { return 1 / (1 + static_cast<double>(step)); }});
  });
  add("multiplicative", [=] {
    return MultiplicativeLr(rates, {[](int64_t step) { return 1 - 1 / (50 + static_cast<double>(step)); },
                                    [](int64_t step) { return 0.97 + 0.02 * static_cast<double>(step % 3); }});
  });
  add("cosine", [=] { return CosineAnnealingLr(rates, {60, 1e-4}); });
  add("restarts", [=] { return CosineAnnealingWarmRestarts(rates, {9, 2, 1e-3}); });
  add("restarts_even", [=] { return CosineAnnealingWarmRestarts(rates, {40, 1, 0.0}); });
  OneCycleLrOptions cycle{.max_lr = highest, .total_steps = 200};
  add("one_cycle", [=] { return OneCycleLr(cycle); });
  OneCycleLrOptions adam = cycle;
  adam.base_momentum = 0.8;
  adam.beta1 = true;
  add("one_cycle_adam", [=] { return OneCycleLr(adam); });
  OneCycleLrOptions still = cycle;
  still.cycle_momentum = false;
  add("one_cycle_still", [=] { return OneCycleLr(still); });
  OneCycleLrOptions linear = cycle;
  linear.total_steps = 210;
  linear.pct_start = 0.2;
  linear.linear = linear.three_phase = true;
  linear.div_factor = 10.0;
  linear.final_div_factor = 100.0;
  add("one_cycle_linear", [=] { return OneCycleLr(linear); });
  CyclicLrOptions cyclic{.base_lr = low, .max_lr = high, .step_size_up = 17};
  add("cyclic", [=] { return CyclicLr(cyclic); });
  CyclicLrOptions second = cyclic;
  second.step_size_up = 10;
  second.step_size_down = 21;
  second.mode = CyclicMode::kTriangular2;
  add("cyclic_2", [=] { return CyclicLr(second); });
  CyclicLrOptions exponential = cyclic;
  exponential.step_size_up = 10;
  exponential.mode = CyclicMode::kExpRange;
  exponential.gamma = 0.99;
  add("cyclic_exp", [=] { return CyclicLr(exponential); });
  OneCycleLrOptions by_group = cycle;
  by_group.base_momentum = {0.8, 0.7};
  by_group.max_momentum = {0.9, 0.99};
  add("one_cycle_groups", [=] { return OneCycleLr(by_group); });
  CyclicLrOptions cyclic_by_group = cyclic;
  cyclic_by_group.base_momentum = {0.8, 0.6};
  cyclic_by_group.max_momentum = {0.9, 0.99};
  add("cyclic_groups", [=] { return CyclicLr(cyclic_by_group); });
  add("plateau", [=] { return ReduceLrOnPlateau(rates, {.factor = 0.6, .patience = 3}); });
  add("plateau_groups", [=] {
    ReduceLrOnPlateauOptions options{.factor = 0.3, .patience = 2};
    options.min_lr = {0.003, 0.005};
    return ReduceLrOnPlateau(rates, options);
  });
  all["sequence"] = [=] {
    return std::make_unique<SequentialLr>(
        parts_of(LinearLr(rates, 0.1, 1.0, 10), ExponentialLr(rates, 0.95),
                 CosineAnnealingWarmRestarts(rates, {11, 1, 0.0}), PolynomialLr(rates, 60, 2.0)),
        std::vector<int64_t>{10, 40, 90});
  };
  all["sequence_2"] = [=] {
    return std::make_unique<SequentialLr>(parts_of(ConstantLr(rates, 0.25, 3), CosineAnnealingLr(rates, {55, 1e-5}),
                                                   ConstantLr(rates, 0.5, 20), StepLr(rates, 10)),
                                          std::vector<int64_t>{5, 60, 90});
  };
  all["sequence_3"] = [=] {
    return std::make_unique<SequentialLr>(
        parts_of(MultiplicativeLr(rates, [](int64_t) { return 0.98; }), LinearLr(rates, 0.5, 1.0, 30),
                 MultiplicativeLr(rates, [](int64_t step) { return 0.9 + 0.001 * static_cast<double>(step); })),
        std::vector<int64_t>{20, 60});
  };
  all["chained"] = [=] {
    return std::make_unique<ChainedLr>(
        parts_of(ConstantLr(rates, 0.1, 20), ExponentialLr(rates, 0.99), StepLr(rates, 50)));
  };
  add("swa", [=] { return SwaLr(rates, {0.01, 30, false}); });
  add("swa_linear", [=] { return SwaLr(rates, {0.01, 7, true}); });
  add("swa_groups", [=] { return SwaLr(rates, {{0.01, 0.03}, 30, false}); });
  add("swa_at_once", [=] { return SwaLr(rates, {0.01, 0, false}); });
  return all;
}

std::vector<double> list_of_numbers(const Value& list) {
  std::vector<double> numbers;
  for (const Value& one : *list.get<List>()) numbers.push_back(*one.get<double>());
  return numbers;
}

// Optimizers with two groups, LibTorch's and ours, at what the schedule says.
class Groups {
 public:
  explicit Groups(bool adam) : adam_(adam) {
    const std::vector<at::Tensor> one{at::zeros({1})}, other{at::zeros({1})};
    if (adam) {
      our_adam_.emplace(std::vector<AdamGroup>{{one}, {other}});
    } else {
      our_sgd_.emplace(std::vector<SgdGroup>{{one}, {other}}, SgdOptions{.lr = 1.0, .momentum = 0.9});
    }
    std::vector<torch::optim::OptimizerParamGroup> groups;
    for (int i = 0; i < 2; ++i) groups.emplace_back(std::vector<at::Tensor>{at::zeros({1}).set_requires_grad(true)});
    if (adam) {
      optimizer_ = std::make_unique<torch::optim::Adam>(groups, torch::optim::AdamOptions());
    } else {
      optimizer_ = std::make_unique<torch::optim::SGD>(groups, torch::optim::SGDOptions(1.0).momentum(0.9));
    }
  }
  void expect(const LrSchedule& schedule, const Value& theirs, const std::string& where) {
    schedule.apply_to(*optimizer_);
    std::vector<double> rates, momentums;
    for (auto& group : optimizer_->param_groups()) {
      rates.push_back(group.options().get_lr());
      momentums.push_back(adam_ ? std::get<0>(static_cast<torch::optim::AdamOptions&>(group.options()).betas())
                                : static_cast<torch::optim::SGDOptions&>(group.options()).momentum());
    }
    const List& both = *theirs.get<List>();
    ASSERT_EQ(rates, list_of_numbers(both[0])) << where;
    ASSERT_EQ(momentums, list_of_numbers(both[1])) << where;
    Optimizer& ours = adam_ ? static_cast<Optimizer&>(*our_adam_) : *our_sgd_;
    schedule.apply_to(ours);
    ASSERT_EQ(ours.lrs(), rates) << where;
    for (size_t i = 0; i < momentums.size(); ++i) {
      ASSERT_EQ(adam_ ? our_adam_->options(i).beta1 : our_sgd_->options(i).momentum, momentums[i]) << where;
    }
  }

 private:
  bool adam_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  std::optional<Adam> our_adam_;
  std::optional<Sgd> our_sgd_;
};

class LrSchedulesParity : public PeerValueTest {
 protected:
  void SetUp() override {
    run_peer("lr_schedules_peer.py", "write");
    if (!IsSkipped() && !HasFatalFailure()) record_ = load("record.pt");
  }
  // What Python has of a group that was added after so many steps; null where its schedule fails then.
  const Value* added(const std::string& name, size_t steps) const {
    for (const auto& [key, value] : *entry(entry(record_, "added"), name).get<Dict>()) {
      if (*key.get<int64_t>() == static_cast<int64_t>(steps) && !value.is_none()) return &value;
    }
    return nullptr;
  }
  // Its rates from `begin` steps after it on.
  void expect_rates_of_added(const std::string& name, LrSchedule& schedule, size_t added_at, size_t begin,
                             size_t end) const {
    const List& rates = *entry(*added(name, added_at), "rates").get<List>();
    for (size_t step = begin; step < end; ++step) {
      schedule.step(metric(added_at + step));
      ASSERT_EQ(schedule.lrs(), list_of_numbers(rates[step])) << name << ", " << added_at << " + " << step;
    }
  }
  double metric(size_t step) const { return *(*entry(record_, "metrics").get<List>())[step].get<double>(); }
  const Value* state(const std::string& name, size_t steps) const {
    for (const auto& [key, value] : *entry(entry(record_, "states"), name).get<Dict>()) {
      if (*key.get<int64_t>() == static_cast<int64_t>(steps)) return &value;
    }
    return nullptr;
  }
  // From `begin` steps on, at which the schedule is.
  void expect_trace(const std::string& name, LrSchedule& schedule, size_t begin) const {
    Groups groups(name.ends_with("adam"));
    const List& trace = *entry(entry(record_, "traces"), name).get<List>();
    const std::string where = name + " from step " + std::to_string(begin) + ", step ";
    for (size_t step = begin; step <= kSteps; ++step) {
      groups.expect(schedule, trace[step], where + std::to_string(step));
      if (HasFatalFailure()) return;
      if (step < kSteps) schedule.step(metric(step));
    }
  }

  Value record_;
};

TEST_F(LrSchedulesParity, EveryRateAndMomentumIsPythonsBitForBit) {
  const auto schedules = every_schedule();
  ASSERT_EQ(schedules.size(), entry(record_, "traces").get<Dict>()->size());
  for (const auto& [name, make] : schedules) expect_trace(name, *make(), 0);
}

// Also of a group that was added on the way; where Python's schedule fails then, ours refuses it.
TEST_F(LrSchedulesParity, GoesOnFromPythonsState) {
  for (const auto& [name, make] : every_schedule()) {
    for (const size_t stop : kScheduleStops) {
      const Pointer schedule = make();
      const Status loaded = schedule->load_state_dict(*state(name, stop));
      ASSERT_TRUE(loaded.ok()) << name << ": " << loaded.error().message;
      expect_trace(name, *schedule, stop);
    }
  }
  for (const auto& [name, make] : every_schedule()) {
    for (const size_t steps : kAdded) {
      const Pointer schedule = make();
      for (size_t step = 0; step < steps; ++step) schedule->step(metric(step));
      if (added(name, steps) == nullptr) {
        const std::vector<double> before = schedule->lrs();
        EXPECT_THROW(schedule->add_group(0.3), c10::Error) << name << " after " << steps;
        EXPECT_EQ(schedule->lrs(), before);
        continue;
      }
      schedule->add_group(0.3);
      expect_rates_of_added(name, *schedule, steps, 0, kAfter);
      // A run that starts again has all groups from the beginning.
      const Pointer again = every_schedule({0.1, 0.02, 0.3})[name]();
      const Status loaded = again->load_state_dict(entry(*added(name, steps), "state"));
      ASSERT_TRUE(loaded.ok()) << name << ": " << loaded.error().message;
      expect_rates_of_added(name, *again, steps, kAfter / 2, kAfter);
    }
  }
}

TEST_F(LrSchedulesParity, PythonGoesOnFromOurState) {
  Dict all, all_added;
  for (const auto& [name, make] : every_schedule()) {
    Dict states;
    for (const size_t steps : kAdded) {
      const Pointer schedule = make();
      for (size_t step = 0; step < steps; ++step) schedule->step(metric(step));
      const bool goes_on = added(name, steps) != nullptr;
      if (goes_on) schedule->add_group(0.3);
      for (size_t step = steps; goes_on && step < steps + kAfter / 2; ++step) schedule->step(metric(step));
      states.emplace_back(static_cast<int64_t>(steps), goes_on ? schedule->state_dict() : Value());
    }
    all_added.emplace_back(name, std::move(states));
  }
  all.emplace_back("added", std::move(all_added));
  for (const auto& [name, make] : every_schedule()) {
    Dict states;
    const Pointer schedule = make();
    for (size_t step = 0; step < kSteps; ++step) {
      if (std::find(std::begin(kScheduleStops), std::end(kScheduleStops), step) != std::end(kScheduleStops)) {
        states.emplace_back(static_cast<int64_t>(step), schedule->state_dict());
      }
      schedule->step(metric(step));
    }
    all.emplace_back(name, std::move(states));
  }
  const Status saved = checkpoint::write_atomically(result("ours.pt").string(), all);
  ASSERT_TRUE(saved.ok()) << saved.error().message;
  run_peer("lr_schedules_peer.py", "check");
}

// Python's states of these two have the same content.
std::string in_a_state(const std::string& name) { return name == "MultiplicativeLR" ? "LambdaLR" : name; }

TEST(LrSchedules, OthersStatesAndGroupsAreRefused) {
  for (const auto& [name, make] : every_schedule()) {
    for (const auto& [other_name, make_other] : every_schedule()) {
      const Pointer schedule = make(), other = make_other();
      EXPECT_EQ(schedule->load_state_dict(other->state_dict()).ok(),
                in_a_state(schedule->name()) == in_a_state(other->name()))
          << other_name << " into " << name;
    }
  }
  EXPECT_FALSE(StepLr({0.1, 0.2, 0.3}, 3).load_state_dict(StepLr({0.1, 0.2}, 3).state_dict()).ok());
  torch::optim::SGD one({at::zeros({1})}, torch::optim::SGDOptions(1.0));
  EXPECT_THROW(StepLr({0.1, 0.2}, 3).apply_to(one), c10::Error);
  EXPECT_THROW(SequentialLr(parts_of(StepLr(0.1, 3), StepLr(0.2, 3)), {5}), c10::Error);
  OneCycleLr once({.max_lr = 0.1, .total_steps = 2});
  once.step(), once.step();
  EXPECT_THROW(once.step(), c10::Error);
}

}  // namespace
}  // namespace ferrun::parity
