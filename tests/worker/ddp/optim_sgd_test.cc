// SGD and the factory without a peer: what they refuse, skip and keep.
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "worker/ddp/adam.h"
#include "worker/ddp/grad_scaler.h"
#include "worker/ddp/sgd.h"

namespace ferrun::ddp {
namespace {

using ::testing::HasSubstr;

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

at::Tensor ones_with_gradient(double gradient) {
  at::Tensor weight = at::ones({2}).set_requires_grad(true);
  weight.mutable_grad() = at::ones({2}).mul(gradient);
  return weight;
}

double first_of(const at::Tensor& tensor) { return tensor.detach().index({0}).item<double>(); }

TEST(Sgd, MovesAgainstTheGradient) {
  const at::Tensor weight = ones_with_gradient(2);
  Sgd sgd({weight}, {.lr = 0.25});
  sgd.step();
  EXPECT_EQ(first_of(weight), 0.5);
  EXPECT_TRUE(sgd.state_dict(0.25).find("state")->get<Dict>()->empty());
}

TEST(Sgd, AParameterWhoseGradientsBeginLaterBeginsItsMomentumThere) {
  const at::Tensor early = ones_with_gradient(1), late = ones_with_gradient(1);
  at::Tensor(late).mutable_grad().reset();
  Sgd sgd({early, late}, {.lr = 1, .momentum = 0.5, .dampening = 0.5});
  sgd.step();
  EXPECT_EQ(first_of(early), 0.0);
  EXPECT_EQ(first_of(late), 1.0);
  at::Tensor(late).mutable_grad() = at::ones({2});
  sgd.step();
  EXPECT_EQ(first_of(early), -1.0);  // 0.5 × 1 + (1 - 0.5) × 1
  EXPECT_EQ(first_of(late), 0.0);    // no dampening in a first step
}

TEST(Sgd, ASkippedStepLeavesEverythingAsItWasAlsoWhenItIsTheFirst) {
  const at::Tensor weight = ones_with_gradient(std::numeric_limits<double>::quiet_NaN());
  Sgd sgd({weight}, {.lr = 0.5, .momentum = 0.5, .dampening = 0.5});
  sgd.step({}, at::ones({}));
  EXPECT_EQ(first_of(weight), 1.0);
  EXPECT_TRUE(sgd.state_dict(0.5).find("state")->get<Dict>()->empty());
  at::Tensor(weight).mutable_grad() = at::ones({2});
  sgd.step({}, at::zeros({}));
  EXPECT_EQ(first_of(weight), 0.5);
  sgd.step({}, at::ones({}));
  EXPECT_EQ(first_of(weight), 0.5);
  sgd.step({}, at::zeros({}));
  EXPECT_EQ(first_of(weight), 0.0);
}

TEST(Sgd, IsSteppedByTheGradientScaler) {
  const at::Tensor weight = ones_with_gradient(8);
  Sgd sgd({weight}, {.lr = 0.25});
  GradScaler scaler(at::kCPU, {.init_scale = 8});
  scaler.step(sgd);
  EXPECT_FALSE(scaler.skipped());
  scaler.update();
  EXPECT_EQ(first_of(weight), 0.75);
  at::Tensor(weight).mutable_grad() = at::ones({2}).mul(std::numeric_limits<double>::infinity());
  scaler.step(sgd);
  EXPECT_TRUE(scaler.skipped());
  EXPECT_EQ(first_of(weight), 0.75);
}

std::string refusal(Optimizer& optimizer, const Value& state) {
  const Status loaded = optimizer.load_state_dict(state);
  return loaded.ok() ? "" : loaded.error().message;
}

TEST(Optimizer, AnothersStateIsRefusedByName) {
  const at::Tensor weight = ones_with_gradient(1);
  Sgd plain({weight}, {}), momentum({weight}, {.momentum = 0.9});
  Adam adam({weight}, {}), adamw({weight}, {.decoupled_weight_decay = true});
  EXPECT_THAT(refusal(adam, momentum.state_dict(1)),
              HasSubstr("the checkpoint's optimizer is SGD with momentum, this run's is Adam (see --optimizer)"));
  EXPECT_THAT(refusal(momentum, adam.state_dict(1)),
              HasSubstr("the checkpoint's optimizer is Adam, this run's is SGD with momentum"));
  EXPECT_THAT(refusal(plain, adamw.state_dict(1)), HasSubstr("the checkpoint's optimizer is AdamW, this run's is SGD"));
  const Value rmsprop =
      Dict{{"state", Dict{}}, {"param_groups", List{Dict{{"lr", 0.1}, {"centered", false}, {"params", List{0}}}}}};
  EXPECT_THAT(refusal(adam, rmsprop), HasSubstr("the checkpoint's optimizer is RMSprop, this run's is Adam"));
  // With which momentum SGD goes on is the state's to say.
  EXPECT_EQ(refusal(plain, momentum.state_dict(1)), "");
  EXPECT_EQ(plain.options().momentum, 0.9);
}

TEST(Optimizer, AStateFromBeforeAdamsToldThemselvesApartFitsBoth) {
  const at::Tensor weight = ones_with_gradient(1);
  const Value old = Dict{
      {"state", Dict{}},
      {"param_groups", List{Dict{{"lr", 0.5}, {"betas", List{0.5, 0.5}}, {"amsgrad", false}, {"params", List{0}}}}}};
  for (const bool decoupled : {false, true}) {
    Adam adam({weight}, {.decoupled_weight_decay = decoupled});
    EXPECT_EQ(refusal(adam, old), "");
    EXPECT_EQ(adam.lr(), 0.5);
    EXPECT_EQ(adam.options().decoupled_weight_decay, decoupled);
  }
}

TEST(Optimizer, IntegersCountAsHyperparameters) {
  const at::Tensor weight = ones_with_gradient(1);
  Sgd sgd({weight}, {.lr = 0.3, .dampening = 0.5, .weight_decay = 0.5});
  const Value state = Dict{{"state", Dict{}},
                           {"param_groups", List{Dict{{"lr", 1},
                                                      {"momentum", 0},
                                                      {"dampening", 0},
                                                      {"weight_decay", 0},
                                                      {"nesterov", false},
                                                      {"params", List{0}}}}}};
  ASSERT_EQ(refusal(sgd, state), "");
  EXPECT_EQ(sgd.lr(), 1.0);
  EXPECT_EQ(sgd.options().dampening, 0.0);
  EXPECT_EQ(sgd.options().weight_decay, 0.0);
}

TEST(Optimizer, AStateThatDoesNotFitSgdChangesNothing) {
  const at::Tensor weight = ones_with_gradient(1);
  Sgd sgd({weight}, {.lr = 0.5, .momentum = 0.5});
  sgd.step();
  Value state = sgd.state_dict(0.5);
  state.get<Dict>()->at(0).second = Dict{{int64_t{0}, Dict{{"momentum_buffer", at::ones({3})}}}};
  EXPECT_THAT(refusal(sgd, state), HasSubstr("parameter 0's momentum_buffer has another shape"));
  sgd.step();
  EXPECT_EQ(first_of(weight), 0.5 - 0.5 * 1.5);
}

TEST(Optimizer, IsMadeFromOptionsOrSaysWhatIsWrong) {
  const at::Tensor weight = ones_with_gradient(1);
  const auto name = [&](const OptimizerOptions& options) {
    auto made = make_optimizer({weight}, options);
    return made.ok() ? (*made)->name() : made.error().message;
  };
  EXPECT_EQ(name(AdamOptions{}), "Adam");
  EXPECT_EQ(name(AdamOptions{.decoupled_weight_decay = true}), "AdamW");
  EXPECT_EQ(name(SgdOptions{}), "SGD");
  EXPECT_EQ(name(SgdOptions{.momentum = 0.9, .nesterov = true}), "SGD with momentum");
  EXPECT_THAT(name(SgdOptions{.nesterov = true}), HasSubstr("needs a momentum"));
  EXPECT_THAT(name(SgdOptions{.lr = -1}), HasSubstr("learning rate of SGD cannot be -1"));
  EXPECT_THAT(name(SgdOptions{.lr = std::nan("")}), HasSubstr("learning rate of SGD"));
  EXPECT_THAT(name(AdamOptions{.beta1 = 1}), HasSubstr("first beta of Adam"));
}

}  // namespace
}  // namespace ferrun::ddp
