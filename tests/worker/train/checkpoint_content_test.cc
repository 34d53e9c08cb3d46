#include "worker/train/checkpoint_content.h"

#include <ATen/Context.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/ddp/adam.h"
#include "worker/ddp/step_lr.h"

namespace ferrun::train {
namespace {

using checkpoint::Dict;
using checkpoint::Value;
using ::testing::HasSubstr;

struct TinyRun {
  explicit TinyRun(int64_t classes = 7, uint64_t seed = 1)
      : model((at::manual_seed(seed), classes)),
        optimizer(model->parameters(), {}),
        schedule(1e-3, 10, 0.1),
        scaler(at::Device(at::kCPU), {}) {}

  RunParts parts() { return {model, optimizer, schedule, scaler, state}; }

  model::EmotionNet model;
  ddp::Adam optimizer;
  ddp::StepLr schedule;
  ddp::GradScaler scaler;
  TrainingState state;
};

RunIdentity identity() {
  RunIdentity identity;
  identity.classes = {"a", "b", "c", "d", "e", "f", "g"};
  identity.options = {{"seed", 42}, {"lr", 1e-3}, {"device", "cpu"}};
  identity.launch_id = "L1";
  identity.world_size = 2;
  return identity;
}

// A run with something to remember in every part.
void train_a_little(TinyRun& run) {
  for (at::Tensor& parameter : run.model->parameters()) {
    parameter.mutable_grad() = at::randn(parameter.sizes());
  }
  run.optimizer.step();
  run.schedule.step(0);
  run.state.epoch = 4;
  run.state.step = 17;
  run.state.sums = {12.5, 30, 64};
  run.state.samples = 204;
  run.state.history = {{1, 1e-3, 2, 0.1, 2, 0.2}, {4, 1e-3, 1, 0.5, 1.5, 0.375}};
}

Value without(const Value& checkpoint, const std::string& key) {
  Dict dict;
  for (const auto& entry : *checkpoint.get<Dict>()) {
    if (*entry.first.get<std::string>() != key) dict.push_back(entry);
  }
  return dict;
}

class CheckpointContent : public ::testing::Test {
 protected:
  CheckpointContent() { train_a_little(saved); }
  Value checkpoint() { return checkpoint_value(saved.parts(), identity(), {at::randn({3}), at::randn({3})}, true); }
  TinyRun saved;
};

TEST_F(CheckpointContent, RestoresEveryPart) {
  TinyRun restored(7, 2);
  Value value = checkpoint();
  const auto result = restore(without(value, "rng_states"), restored.parts(), identity(), {}, 0);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_TRUE(result->warnings.empty());
  for (size_t i = 0; i < saved.model->parameters().size(); ++i) {
    EXPECT_TRUE(restored.model->parameters()[i].equal(saved.model->parameters()[i]));
  }
  EXPECT_EQ(restored.schedule.last_epoch(), 1);
  EXPECT_EQ(restored.state.epoch, 4);
  EXPECT_EQ(restored.state.step, 17);
  EXPECT_EQ(restored.state.sums, saved.state.sums);
  EXPECT_EQ(restored.state.samples, 204);
  EXPECT_EQ(restored.state.early_stopping.best, 0.375);
  EXPECT_EQ(restored.state.history, saved.state.history);
}

// best_model.pt is of epoch 1 in both: the best one by another measure, or the first after an older one was lost.
TEST_F(CheckpointContent, TheBestEpochIsTheOneWhoseModelWasKept) {
  saved.state.early_stopping.best = 0.1;
  saved.state.early_stopping.best_epoch = 1;
  saved.state.early_stopping.epochs_without_improvement = 3;
  for (const Monitor monitor : {Monitor::kAccuracy, Monitor::kLoss}) {
    TinyRun restored(7, 2);
    restored.state.early_stopping.monitor = monitor;
    ASSERT_TRUE(restore(without(checkpoint(), "rng_states"), restored.parts(), identity(), {}, 0));
    EXPECT_EQ(restored.state.early_stopping.best_epoch, 1);
    EXPECT_EQ(restored.state.early_stopping.epochs_without_improvement, 3);
    EXPECT_EQ(restored.state.early_stopping.best, monitored(monitor, saved.state.history.front()));
  }
  saved.state.early_stopping.forget_best();
  TinyRun restored(7, 2);
  ASSERT_TRUE(restore(without(checkpoint(), "rng_states"), restored.parts(), identity(), {}, 0));
  EXPECT_EQ(restored.state.early_stopping.best, std::nullopt) << "there is none: the next one counts";
}

TEST_F(CheckpointContent, TellsItsLaunchInLastModelAlone) {
  EXPECT_EQ(launch_of(checkpoint()), "L1");
  EXPECT_EQ(launch_of(checkpoint_value(saved.parts(), identity(), {}, false)), "");
  EXPECT_EQ(launch_of(Value(3)), "");
}

TEST_F(CheckpointContent, IsRefusedByARunOfOtherClasses) {
  RunIdentity other = identity();
  other.classes[0] = "z";
  TinyRun run;
  EXPECT_THAT(restore(checkpoint(), run.parts(), other, {}, 0).error().message, HasSubstr("a, b, c"));
  TinyRun five(5);
  const auto result = restore(without(checkpoint(), "classes"), five.parts(), identity(), {}, 0);
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().message, HasSubstr("classify.linear"));
}

TEST_F(CheckpointContent, IsRefusedWithoutWhatAResumeNeeds) {
  for (const char* key : {"model_state_dict", "optimizer_state_dict", "epoch", "history"}) {
    TinyRun run;
    const auto result = restore(without(without(checkpoint(), "rng_states"), key), run.parts(), identity(), {}, 0);
    ASSERT_FALSE(result.ok()) << key;
    EXPECT_THAT(result.error().message, HasSubstr(key));
  }
}

TEST_F(CheckpointContent, WarnsOfOptionsThatMakeAnotherRun) {
  RunIdentity other = identity();
  other.options = {{"seed", 43}, {"lr", 1e-3}, {"device", "cuda"}, {"unknown before", 1}};
  TinyRun run;
  const auto result = restore(without(checkpoint(), "rng_states"), run.parts(), other, {}, 0);
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(result->warnings, ::testing::ElementsAre("seed was 42 and is 43 now", "device was cpu and is cuda now"));
}

TEST_F(CheckpointContent, TakesANewScheduleToTheEpochAlsoWithoutAHistory) {
  Dict python;
  const Value whole = checkpoint();
  for (const char* const key : {"epoch", "model_state_dict", "optimizer_state_dict"}) {
    python.emplace_back(key, *whole.find(key));
  }
  TinyRun run;
  run.schedule = ddp::StepLr(1e-3, 2, 0.5);
  const auto result = restore(python, run.parts(), identity(), {.new_schedule = true, .hyperparameters = {}}, 0);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(run.schedule.last_epoch(), 4);
  EXPECT_EQ(run.schedule.lr(), 0.25e-3);
}

TEST_F(CheckpointContent, OfThePythonTrainerBeginsItsNextEpoch) {
  Dict python;
  const Value whole = checkpoint();
  for (const auto& entry : *whole.get<Dict>()) {
    const std::string& key = *entry.first.get<std::string>();
    if (key == "epoch" || key == "model_state_dict" || key == "optimizer_state_dict" || key == "loss")
      python.push_back(entry);
  }
  TinyRun run;
  const auto result = restore(python, run.parts(), identity(), {}, 0);
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(run.state.epoch, 4);
  EXPECT_EQ(run.state.step, 0);
}

}  // namespace
}  // namespace ferrun::train
