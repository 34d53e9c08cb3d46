#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include "tests/temporary_directory.h"
#include "worker/checkpoint/writer.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/checkpoint.h"

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
  CheckpointParts parts() { return {&*net, optimizer.get(), schedule.get(), &scaler, &sampler}; }

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

}  // namespace
}  // namespace ferrun::ddp
