// Gradient norms, averaged weights and class weights without a peer.
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <cmath>
#include <limits>

#include "worker/ddp/adam.h"
#include "worker/ddp/class_weights.h"
#include "worker/ddp/gradient_norm.h"
#include "worker/ddp/moving_average.h"

namespace ferrun::ddp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using checkpoint::Dict;

std::vector<at::Tensor> parameters_with_gradients(std::initializer_list<double> gradients) {
  std::vector<at::Tensor> parameters;
  for (const double gradient : gradients) {
    parameters.push_back(at::ones({3}).set_requires_grad(true));
    parameters.back().mutable_grad() = at::zeros({3});
    parameters.back().mutable_grad().index({1}).fill_(gradient);
  }
  return parameters;
}

TEST(GradientNorm, IsThatOfAllGradientsAsOneVector) {
  EXPECT_EQ(grad_norm(parameters_with_gradients({3, -4})).item<float>(), 5.0f);
  EXPECT_EQ(grad_norm({at::ones({3})}).item<float>(), 0.0f);
}

TEST(GradientNorm, OneBadElementSkipsTheStep) {
  for (const double bad : {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()}) {
    const auto parameters = parameters_with_gradients({1, bad, 2});
    Adam adam(parameters, {});
    const at::Tensor skipped = not_finite(grad_norm(parameters));
    EXPECT_EQ(skipped.item<float>(), 1.0f);
    adam.step({}, skipped);
    for (const at::Tensor& parameter : parameters) EXPECT_TRUE(parameter.detach().equal(at::ones({3})));
  }
  EXPECT_EQ(not_finite(grad_norm(parameters_with_gradients({1, 1e15}))).item<float>(), 0.0f);
}

TEST(GradientNorm, OneThatIsNotFiniteIsAnErrorWhereItIsAskedFor) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double bad : {kInfinity, std::numeric_limits<double>::quiet_NaN()}) {
    const auto parameters = parameters_with_gradients({1, bad});
    EXPECT_THROW(clip_grad_norm(parameters, 1.0, {.error_if_nonfinite = true}), c10::Error);
    EXPECT_EQ(parameters.front().grad().sum().item<double>(), 1.0) << "nothing was clipped";
    EXPECT_FALSE(std::isfinite(clip_grad_norm(parameters, 1.0).item<double>()));
  }
  const auto parameters = parameters_with_gradients({1, -4});
  const at::Tensor norm = clip_grad_norm(parameters, 2.0, {.norm_type = kInfinity, .error_if_nonfinite = true});
  EXPECT_EQ(norm.item<double>(), 4.0);
  EXPECT_NEAR(parameters.back().grad().sum().item<double>(), -2.0, 1e-6);
}

TEST(ExponentialMovingAverage, LendsItsWeightsToTheModule) {
  torch::nn::Linear linear(1, 1);
  const auto weight = [&] { return linear->weight.detach().item<float>(); };
  const auto set_weight = [&](double value) { linear->weight.detach().fill_(value); };
  ExponentialMovingAverage average(*linear, 0.5);
  set_weight(2);
  average.update();
  set_weight(4);
  average.update();
  {
    const auto scope = average.in_module();
    EXPECT_EQ(weight(), 3.0f);
    EXPECT_THROW(average.update(), c10::Error);
    EXPECT_THROW(static_cast<void>(average.in_module()), c10::Error) << "a second exchange would undo the first";
    EXPECT_EQ(weight(), 3.0f);
  }
  EXPECT_EQ(weight(), 4.0f);
  average.update();
  const auto scope = average.in_module();
  EXPECT_EQ(weight(), 3.5f);
}

// A weight that two modules share has two names, and is exchanged and averaged once.
TEST(ExponentialMovingAverage, OfTiedWeightsLendsAndGivesThemBack) {
  torch::nn::Linear tied(1, 1);
  const torch::nn::Sequential net(tied, tied);
  const auto set_weight = [&](double value) { tied->weight.detach().fill_(value); };
  ExponentialMovingAverage average(*net, 0.5);
  set_weight(1);
  average.update();
  set_weight(5);
  average.update();
  {
    const auto scope = average.in_module();
    EXPECT_EQ(tied->weight.item<float>(), 3.0f);
  }
  EXPECT_EQ(tied->weight.item<float>(), 5.0f);
  const checkpoint::Value state = average.state_dict();
  for (const char* name : {"module.0.weight", "module.1.weight"}) {
    EXPECT_EQ(state.find(name)->get<at::Tensor>()->item<float>(), 3.0f) << name;
  }
}

TEST(BatchNormStatistics, OfASharedBatchNormLeaveItsMomentum) {
  torch::nn::BatchNorm1d shared(torch::nn::BatchNorm1dOptions(1).momentum(0.25));
  torch::nn::Sequential net(shared, shared);
  const std::vector<at::Tensor> batches{at::zeros({2, 1}), at::ones({2, 1})};
  update_bn(*net, batches, [&](const at::Tensor& batch) { net->forward(batch); });
  EXPECT_EQ(shared->options.momentum(), 0.25);
}

TEST(GradientNorm, CountsAndClipsTheGradientOfATiedWeightOnce) {
  torch::nn::Linear tied(torch::nn::LinearOptions(1, 1).bias(false));
  const torch::nn::Sequential net(tied, tied);
  ASSERT_EQ(net->parameters().size(), 2u);
  tied->weight.mutable_grad() = at::ones({1, 1}).mul(4);
  EXPECT_EQ(grad_norm(net->parameters()).item<float>(), 4.0f);
  EXPECT_EQ(clip_grad_norm(net->parameters(), 2.0).item<float>(), 4.0f);
  EXPECT_NEAR(tied->weight.grad().item<float>(), 2.0f, 1e-5);
}

TEST(ExponentialMovingAverage, AStateThatDoesNotFitIsRefusedAndChangesNothing) {
  torch::nn::Linear linear(2, 1), other(3, 1);
  ExponentialMovingAverage average(*linear, 0.5), wider(*other, 0.5);
  average.update();
  const at::Tensor before = average.state_dict().find("module.weight")->get<at::Tensor>()->clone();
  EXPECT_THAT(average.load_state_dict(wider.state_dict()).error().message, HasSubstr("weight has another shape"));
  EXPECT_THAT(average.load_state_dict(Dict{{"n_averaged", 1}}).error().message, HasSubstr("it has no weight"));
  EXPECT_THAT(average.load_state_dict(Dict{}).error().message, HasSubstr("n_averaged"));
  EXPECT_TRUE(average.state_dict().find("module.weight")->get<at::Tensor>()->equal(before));
  EXPECT_EQ(average.updates(), 1);
}

TEST(ClassWeights, AreScikitLearnsBalancedOnes) {
  // sklearn.utils.class_weight.compute_class_weight("balanced", classes=[0, 1, 2], y=[0] * 6 + [1] * 3 + [2])
  EXPECT_THAT(*balanced_class_weights({6, 3, 1}, {"a", "b", "c"}), ElementsAre(10.0 / 18.0, 10.0 / 9.0, 10.0 / 3.0));
}

TEST(ClassWeights, AClassWithoutPicturesIsNamed) {
  EXPECT_THAT(balanced_class_weights({6, 0}, {"anger", "contempt"}).error().message,
              HasSubstr("class contempt has no pictures"));
}

}  // namespace
}  // namespace ferrun::ddp
