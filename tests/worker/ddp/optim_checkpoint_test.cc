#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include "tests/temporary_directory.h"
#include "worker/checkpoint/module_state.h"
#include "worker/checkpoint/writer.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/checkpoint.h"
#include "worker/ddp/named_optimizer_state.h"

namespace ferrun::ddp {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using torch::nn::Linear;

struct Trained {
  explicit Trained(uint64_t seed) {
    at::manual_seed(seed);
    net = Linear(3, 2);
    optimizer = std::make_unique<Adam>(net->parameters(), AdamOptions{.lr = 0.1});
    LrScheduleOptions halving;
    halving.initial_lr = 0.1;
    halving.schedule = StepLrOptions{.step_size = 1, .gamma = 0.5};
    schedule = make_lr_schedule(halving).value();
  }
  void step() {
    optimizer->zero_grad();
    net(at::full({1, 3}, 1.0)).square().sum().backward();
    optimizer->step();
    schedule->step(0);
    optimizer->set_lr(schedule->lr());
  }
  CheckpointParts parts() { return {&*net, optimizer.get(), schedule.get(), &scaler, &sampler, nullptr, nullptr}; }

  Linear net{nullptr};
  std::unique_ptr<Adam> optimizer;
  std::unique_ptr<LrSchedule> schedule;
  GradScaler scaler{at::kCPU, {.init_scale = 8}};
  SamplerState sampler;
};

TEST(Checkpoint, ARunGoesOnWithTheUndisturbedOnesBits) {
  const testing::TemporaryDirectory folder;
  Trained undisturbed(1), resumed(2);
  undisturbed.step();
  undisturbed.sampler = {3, 640};
  undisturbed.scaler = GradScaler(at::kCPU, {.init_scale = 32});
  const Status saved = save_checkpoint(folder.file("last.pt"), undisturbed.parts(), {{"note", "mine"}});
  ASSERT_TRUE(saved.ok()) << saved.error().message;
  const auto loaded = load_checkpoint(folder.file("last.pt"), resumed.parts());
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(*loaded->content.find("note")->get<std::string>(), "mine");
  EXPECT_EQ(resumed.sampler.epoch, 3);
  EXPECT_EQ(resumed.sampler.samples, 640);
  EXPECT_EQ(resumed.scaler.scale_value(), 32);
  EXPECT_EQ(resumed.optimizer->lr(), 0.05);
  for (Trained* run : {&undisturbed, &resumed}) run->step();
  EXPECT_TRUE(resumed.net->weight.equal(undisturbed.net->weight));
  EXPECT_EQ(resumed.optimizer->lr(), 0.025);
}

TEST(Checkpoint, WhatOnlyOneSideHasIsAnErrorOrTold) {
  const testing::TemporaryDirectory folder;
  Trained run(1);
  const checkpoint::Dict state{{"weight", at::randn({2, 3})}, {"extra", at::randn({1})}};
  ASSERT_TRUE(checkpoint::write_atomically(folder.file("model.pt"), state).ok());
  const CheckpointParts module_alone{.module = &*run.net};
  EXPECT_THAT(load_checkpoint(folder.file("model.pt"), module_alone).error().message,
              AllOf(HasSubstr("model.pt"), HasSubstr("'bias'"), HasSubstr("'extra'")));
  const auto loaded = load_checkpoint(folder.file("model.pt"), module_alone, {.strict = false});
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_THAT(loaded->missing, ElementsAre("bias"));
  EXPECT_THAT(loaded->unexpected, ElementsAre("extra"));
  EXPECT_TRUE(run.net->weight.equal(*state[0].second.get<at::Tensor>()));
}

TEST(Checkpoint, APartThatTheFileLacksIsNamed) {
  const testing::TemporaryDirectory folder;
  Trained run(1);
  ASSERT_TRUE(save_checkpoint(folder.file("model.pt"), {.module = &*run.net}).ok());
  EXPECT_THAT(load_checkpoint(folder.file("model.pt"), run.parts()).error().message,
              AllOf(HasSubstr("model.pt"), HasSubstr("it has no 'optimizer_state_dict'")));
  EXPECT_THAT(load_checkpoint(folder.file("none.pt"), run.parts()).error().message, HasSubstr("none.pt"));
  ASSERT_TRUE(save_checkpoint(folder.file("damaged.pt"), {}, {{"sampler", 3}}).ok());
  SamplerState sampler;
  EXPECT_THAT(load_checkpoint(folder.file("damaged.pt"), {.sampler = &sampler}).error().message,
              HasSubstr("sampler: it has no epoch"));
}

TEST(Checkpoint, WhatDoesNotFitIsLeftOutAndTold) {
  const testing::TemporaryDirectory folder;
  Trained run(1);
  const checkpoint::Dict state{
      {"body.weight", at::full({2, 3}, 4.0)}, {"body.bias", at::full({7}, 4.0)}, {"head.weight", at::full({1}, 4.0)}};
  ASSERT_TRUE(save_checkpoint(folder.file("model.pt"), {}, {{"model", state}}).ok());
  CheckpointLoading loading{.other_shapes = true, .other_parts = true};
  loading.keys.emplace().module = "model";
  loading.rename = rename_prefixes({{"body.", ""}, {"head.", "-"}});
  const auto loaded = load_checkpoint(folder.file("model.pt"), run.parts(), loading);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_THAT(loaded->skipped, ElementsAre("'bias' has the shape [7], the model's [2]"));
  EXPECT_TRUE(loaded->missing.empty());
  EXPECT_TRUE(loaded->unexpected.empty());
  EXPECT_THAT(loaded->missing_parts,
              ElementsAre("optimizer_state_dict", "scheduler_state_dict", "scaler_state_dict", "sampler"));
  EXPECT_TRUE(run.net->weight.equal(at::full({2, 3}, 4.0)));
  EXPECT_EQ(run.optimizer->lr(), 0.1) << "a schedule that was not loaded sets no rate";
}

TEST(Checkpoint, RandomNumbersGoOnWhereTheyWere) {
  const testing::TemporaryDirectory folder;
  std::vector<at::Tensor> states{random_state()}, read;
  const at::Tensor expected = at::randn({3});
  ASSERT_TRUE(save_checkpoint(folder.file("last.pt"), {.random_states = &states}).ok());
  ASSERT_TRUE(load_checkpoint(folder.file("last.pt"), {.random_states = &read}).ok());
  ASSERT_EQ(read.size(), 1u);
  ASSERT_TRUE(set_random_state(read[0]).ok());
  EXPECT_TRUE(at::randn({3}).equal(expected));
  EXPECT_THAT(set_random_state(at::full({3}, 1, at::kByte)).error().message, HasSubstr("random state does not fit"));
}

TEST(Checkpoint, ContentsTensorsComeWhereTheyAreWanted) {
  Trained run(1);
  const auto loaded = load_content(checkpoint::Dict{{"model_state_dict", checkpoint::module_view(*run.net)}},
                                   {.module = &*run.net}, {.map_location = at::kMeta});
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_TRUE(loaded->content.find("model_state_dict")->find("bias")->get<at::Tensor>()->is_meta());
  EXPECT_TRUE(run.net->bias.is_cpu());
}

TEST(Checkpoint, AnOptimizersStateMayBeByNames) {
  Trained run(1), other(2);
  run.step();
  const checkpoint::Value by_name =
      optimizer_state_by_name(run.optimizer->state_dict(0.1), *run.net, run.optimizer->parameters());
  ASSERT_NE(by_name.find("state")->find("bias"), nullptr);
  const auto loaded = load_content(
      checkpoint::Dict{{"model_state_dict", checkpoint::module_view(*run.net)}, {"optimizer_state_dict", by_name}},
      {.module = &*other.net, .optimizer = other.optimizer.get()});
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  for (Trained* each : {&run, &other}) {
    each->optimizer->set_lr(0.1);
    each->step();
  }
  EXPECT_TRUE(other.net->weight.equal(run.net->weight));
}

TEST(Checkpoint, TensorsOfAContentAreThePartsOwn) {
  Trained run(1);
  const checkpoint::Value content = *checkpoint_content(run.parts());
  EXPECT_EQ(content.find("model_state_dict")->find("bias")->get<at::Tensor>()->data_ptr(), run.net->bias.data_ptr());
}

}  // namespace
}  // namespace ferrun::ddp
