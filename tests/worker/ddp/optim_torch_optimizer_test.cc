#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/sgd.h>

#include "tests/temporary_directory.h"
#include "worker/ddp/checkpoint.h"
#include "worker/ddp/torch_optimizer_state.h"

namespace ferrun::ddp {
namespace {

using ::testing::HasSubstr;
using torch::nn::Linear;

void step(Linear& net, torch::optim::Optimizer& optimizer) {
  optimizer.zero_grad();
  net(at::full({1, 3}, 1.0)).square().sum().backward();
  optimizer.step();
}

TEST(TorchOptimizerState, ARunGoesOnWithTheUndisturbedOnesBits) {
  const testing::TemporaryDirectory folder;
  Linear undisturbed(3, 2), resumed(3, 2);
  const auto make = [](Linear& net, double lr) {
    std::vector<torch::optim::OptimizerParamGroup> groups;
    groups.emplace_back(std::vector<at::Tensor>{net->weight});
    groups.emplace_back(std::vector<at::Tensor>{net->bias});
    auto adam = std::make_unique<torch::optim::Adam>(groups, torch::optim::AdamOptions(lr).amsgrad(true));
    adam->param_groups()[1].options().set_lr(lr / 2);
    return adam;
  };
  auto first = make(undisturbed, 0.1), second = make(resumed, 0.7);
  step(undisturbed, *first);
  const Status saved =
      save_checkpoint(folder.file("last.pt"), {.module = &*undisturbed, .torch_optimizer = first.get()});
  ASSERT_TRUE(saved.ok()) << saved.error().message;
  const auto loaded = load_checkpoint(folder.file("last.pt"), {.module = &*resumed, .torch_optimizer = second.get()});
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(second->param_groups()[1].options().get_lr(), 0.05);
  step(undisturbed, *first);
  step(resumed, *second);
  EXPECT_TRUE(resumed->weight.equal(undisturbed->weight));
  EXPECT_TRUE(resumed->bias.equal(undisturbed->bias));
}

TEST(TorchOptimizerState, WhatDoesNotFitIsToldAndChangesNothing) {
  Linear net(3, 2);
  torch::optim::Adam adam(net->parameters(), torch::optim::AdamOptions(0.1));
  step(net, adam);
  const checkpoint::Value state = *state_dict(adam);
  torch::optim::AdamW other(net->parameters(), torch::optim::AdamWOptions(0.7));
  EXPECT_THAT(load_state_dict(other, state).error().message,
              HasSubstr("the checkpoint's optimizer is Adam, this run's is AdamW"));
  torch::optim::SGD few({net->weight}, torch::optim::SGDOptions(0.7).momentum(0.9));
  EXPECT_THAT(load_state_dict(few, state).error().message, HasSubstr("this run's is SGD"));
  torch::optim::Adam one({net->weight}, torch::optim::AdamOptions(0.7));
  EXPECT_THAT(load_state_dict(one, state).error().message, HasSubstr("for 2 parameters, this run's has 1"));
  checkpoint::Value damaged = state;
  damaged.find("state")->get<checkpoint::Dict>()->at(1).second.find("exp_avg")->held = int64_t{3};
  torch::optim::Adam whole(net->parameters(), torch::optim::AdamOptions(0.7));
  EXPECT_THAT(load_state_dict(whole, damaged).error().message, HasSubstr("exp_avg"));
  EXPECT_EQ(whole.param_groups()[0].options().get_lr(), 0.7);
  EXPECT_TRUE(whole.state().empty());
  EXPECT_THAT(load_state_dict(whole, checkpoint::Value(3)).error().message, HasSubstr("no optimizer's state_dict"));
  EXPECT_THAT(state_dict(torch::optim::LBFGS(net->parameters())).error().message, HasSubstr("cannot be saved"));
}

}  // namespace
}  // namespace ferrun::ddp
