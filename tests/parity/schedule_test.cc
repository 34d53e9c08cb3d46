// Learning-rate schedules against torch.optim.lr_scheduler's: every rate of 100 epochs, bit for bit, also when either
// goes on from the other's state.
#include <gtest/gtest.h>

#include "tests/parity/peer_values.h"
#include "worker/checkpoint/writer.h"
#include "worker/ddp/lr_schedule.h"

namespace ferrun::parity {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;
using ddp::CosineAnnealingLrOptions;
using ddp::LrScheduleOptions;
using ddp::ReduceLrOnPlateauOptions;
using ddp::StepLrOptions;

constexpr size_t kEpochs = 100;
constexpr size_t kStops[] = {3, 8, 37};

struct ScheduleCase {
  const char* name;
  LrScheduleOptions options;
};

std::vector<ScheduleCase> schedule_cases() {
  const ReduceLrOnPlateauOptions patient{.patience = 3};
  const ReduceLrOnPlateauOptions largest{.larger_is_better = true,
                                         .factor = 0.5,
                                         .patience = 2,
                                         .threshold = 0.01,
                                         .threshold_is_relative = false,
                                         .cooldown = 4,
                                         .min_lr = 1e-3};
  return {
      {"step", {0.1, StepLrOptions{10, 0.1}, {}}},
      {"step_integer_gamma", {0.1, StepLrOptions{7, 1}, {}}},
      {"cosine", {0.1, CosineAnnealingLrOptions{100, 0}, {}}},
      {"cosine_again", {0.1, CosineAnnealingLrOptions{30, 1e-5}, {}}},
      {"plateau", {0.1, patient, {}}},
      {"plateau_largest", {0.1, largest, {}}},
      {"warm_step", {0.1, StepLrOptions{10, 0.5}, {.epochs = 5}}},
      {"warm_cosine", {0.1, CosineAnnealingLrOptions{92, 1e-6}, {.epochs = 8, .start_factor = 0.01}}},
      {"warm_plateau", {0.1, patient, {.epochs = 8, .start_factor = 0.1}}},
  };
}

std::unique_ptr<ddp::LrSchedule> schedule_of_case(const ScheduleCase& one) {
  auto made = make_lr_schedule(one.options);
  EXPECT_TRUE(made.ok()) << made.error().message;
  return std::move(*made);
}

class ScheduleParity : public PeerValueTest {
 protected:
  void SetUp() override {
    run_peer("schedule_peer.py", "write");
    if (!IsSkipped() && !HasFatalFailure()) record_ = load("record.pt");
  }

  double metric(size_t epoch) const { return *(*entry(record_, "metrics").get<List>())[epoch].get<double>(); }
  double rate(const ScheduleCase& one, size_t epoch) const {
    return *(*entry(entry(record_, "rates"), one.name).get<List>())[epoch].get<double>();
  }
  // The recorded state after so many epochs; null where Python has none.
  const Value* state(const ScheduleCase& one, size_t epochs) const {
    for (const auto& [key, value] : *entry(entry(record_, "states"), one.name).get<Dict>()) {
      if (*key.get<int64_t>() == static_cast<int64_t>(epochs)) return &value;
    }
    return nullptr;
  }
  void expect_rates(const ScheduleCase& one, ddp::LrSchedule& schedule, size_t begin) const {
    for (size_t epoch = begin; epoch < kEpochs; ++epoch) {
      schedule.step(metric(epoch));
      ASSERT_EQ(schedule.lr(), rate(one, epoch)) << one.name << " from epoch " << begin << ", epoch " << epoch;
      ASSERT_EQ(schedule.last_epoch(), static_cast<int64_t>(epoch + 1)) << one.name;
    }
  }

  Value record_;
};

TEST_F(ScheduleParity, EveryRateIsPythonsBitForBit) {
  for (const ScheduleCase& one : schedule_cases()) expect_rates(one, *schedule_of_case(one), 0);
}

TEST_F(ScheduleParity, GoesOnFromPythonsState) {
  for (const ScheduleCase& one : schedule_cases()) {
    for (const size_t stop : kStops) {
      const Value* saved = state(one, stop);
      if (saved == nullptr) continue;
      ScheduleCase other = one;  // the state's hyperparameters must win
      other.options.initial_lr = 7;
      std::visit(
          [](auto& options) {
            if constexpr (std::is_same_v<decltype(options), StepLrOptions&>) options = {99, 0.3};
            if constexpr (std::is_same_v<decltype(options), CosineAnnealingLrOptions&>) options = {11, 0.2};
            if constexpr (std::is_same_v<decltype(options), ReduceLrOnPlateauOptions&>) options = {.patience = 50};
          },
          other.options.schedule);
      const auto schedule = schedule_of_case(other);
      const Status loaded = schedule->load_state_dict(*saved);
      ASSERT_TRUE(loaded.ok()) << one.name << ": " << loaded.error().message;
      expect_rates(one, *schedule, stop);
    }
  }
}

TEST_F(ScheduleParity, PythonGoesOnFromOurState) {
  Dict all;
  for (const ScheduleCase& one : schedule_cases()) {
    Dict states;
    const auto schedule = schedule_of_case(one);
    for (size_t epoch = 0; epoch < kEpochs; ++epoch) {
      schedule->step(metric(epoch));
      if (std::find(std::begin(kStops), std::end(kStops), epoch + 1) == std::end(kStops)) continue;
      states.emplace_back(static_cast<int64_t>(epoch + 1), schedule->state_dict());
      const auto resumed = schedule_of_case(one);  // ours from ours
      ASSERT_TRUE(resumed->load_state_dict(schedule->state_dict()).ok());
      expect_rates(one, *resumed, epoch + 1);
    }
    all.emplace_back(one.name, std::move(states));
  }
  const Status saved = checkpoint::write_atomically(result("ours.pt").string(), all);
  ASSERT_TRUE(saved.ok()) << saved.error().message;
  run_peer("schedule_peer.py", "check");
}

}  // namespace
}  // namespace ferrun::parity
