// The gradient scaler's order of calls and autocast's scope.
#include <ATen/autocast_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/optim/sgd.h>

#include <limits>

#include "worker/ddp/autocast.h"
#include "worker/ddp/grad_scaler.h"

namespace ferrun::ddp {
namespace {

struct Tiny {
  at::Tensor weight = at::ones({2}).set_requires_grad(true);
  Adam adam{{weight}, {}};

  void set_gradient(double value) { weight.mutable_grad() = at::ones({2}).mul(value); }
};

TEST(GradScaler, DividesGradientsOnce) {
  Tiny tiny;
  GradScaler scaler(at::kCPU, {.init_scale = 8});
  tiny.set_gradient(16);
  scaler.unscale({tiny.weight});
  EXPECT_EQ(tiny.weight.grad().sum().item<float>(), 4.0f);
  scaler.step(tiny.adam);
  EXPECT_FALSE(scaler.skipped());
  EXPECT_EQ(tiny.weight.grad().sum().item<float>(), 4.0f);
  scaler.update();
  tiny.set_gradient(16);
  scaler.unscale({tiny.weight, tiny.weight});
  EXPECT_EQ(tiny.weight.grad().sum().item<float>(), 4.0f)
      << "as Module::parameters() has a weight that two modules share";
}

TEST(GradScaler, SkipsInfiniteAndUndefinedGradientsAndBacksOff) {
  for (double bad : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    Tiny tiny;
    GradScaler scaler(at::kCPU, {.init_scale = 8});
    tiny.set_gradient(bad);
    scaler.step(tiny.adam);
    EXPECT_TRUE(scaler.skipped());
    scaler.update();
    EXPECT_EQ(scaler.scale_value(), 4.0);
    EXPECT_TRUE(tiny.weight.detach().equal(at::ones({2})));
    tiny.set_gradient(1);
    scaler.step(tiny.adam);
    EXPECT_FALSE(scaler.skipped());
  }
}

TEST(GradScaler, StepsAnOptimizerOfLibTorch) {
  at::Tensor weight = at::ones({2}).set_requires_grad(true);
  torch::optim::SGD sgd({weight}, 0.5);
  GradScaler scaler(at::kCPU, {.init_scale = 8});
  const auto step = [&](double gradient) {
    weight.mutable_grad() = at::ones({2}).mul(gradient);
    scaler.step(sgd);
    const bool skipped = scaler.skipped();
    EXPECT_THROW(scaler.step(sgd), c10::Error);
    scaler.update();
    return skipped;
  };
  EXPECT_FALSE(step(8));  // a gradient of 1
  EXPECT_EQ(weight.sum().item<float>(), 1.0f);
  EXPECT_TRUE(step(std::numeric_limits<double>::infinity()));
  EXPECT_EQ(weight.sum().item<float>(), 1.0f);
  EXPECT_EQ(scaler.scale_value(), 4.0);
  scaler.unscale(sgd);
  EXPECT_THROW(scaler.unscale(sgd), c10::Error);
  GradScaler disabled(at::kCPU, {.enabled = false});
  weight.mutable_grad() = at::ones({2});
  disabled.step(sgd);
  EXPECT_EQ(weight.sum().item<float>(), 0.0f);
}

TEST(GradScaler, SkipsOneOfSeveralOptimizersAndBacksOff) {
  Tiny good, bad, last;
  GradScaler scaler(at::kCPU, {.init_scale = 8});
  good.set_gradient(8), bad.set_gradient(std::numeric_limits<double>::infinity()), last.set_gradient(8);
  scaler.unscale(bad.adam);
  scaler.step(good.adam);
  EXPECT_FALSE(scaler.skipped());
  EXPECT_EQ(good.weight.grad().sum().item<float>(), 2.0f);
  scaler.step(bad.adam);
  EXPECT_TRUE(scaler.skipped());
  scaler.step(last.adam);
  EXPECT_FALSE(scaler.skipped());
  scaler.update();
  EXPECT_EQ(scaler.scale_value(), 4.0);
  EXPECT_FALSE(good.weight.detach().equal(at::ones({2})));
  EXPECT_TRUE(bad.weight.detach().equal(at::ones({2})));
  EXPECT_TRUE(last.weight.detach().equal(good.weight.detach()));
}

TEST(GradScaler, UnscalesAllOfAnOptimizersParametersOrNone) {
  Tiny one, other;
  Adam both({one.weight, other.weight}, {});
  GradScaler scaler(at::kCPU, {.init_scale = 8});
  one.set_gradient(8), other.set_gradient(8);
  scaler.unscale({one.weight});
  EXPECT_THROW(scaler.step(both), c10::Error);
  scaler.unscale({other.weight});
  scaler.step(both);
  EXPECT_FALSE(scaler.skipped());
  EXPECT_EQ(other.weight.grad().sum().item<float>(), 2.0f);
  scaler.update();
  both.zero_grad();
  EXPECT_THROW(scaler.step(both), c10::Error) << "no backward pass was made";
}

TEST(GradScaler, CallsOutOfOrderThrow) {
  Tiny tiny;
  GradScaler scaler(at::kCPU);
  tiny.set_gradient(1);
  EXPECT_THROW(scaler.update(), c10::Error);
  scaler.unscale({tiny.weight});
  EXPECT_THROW(scaler.unscale({tiny.weight}), c10::Error);
  scaler.step(tiny.adam);
  EXPECT_THROW(scaler.step(tiny.adam), c10::Error);
  scaler.update();
}

TEST(GradScaler, DisabledItPassesEverythingThrough) {
  Tiny tiny;
  GradScaler scaler(at::kCPU, {.enabled = false});
  const at::Tensor loss = at::ones({});
  EXPECT_TRUE(scaler.scale(loss).is_same(loss));
  tiny.set_gradient(1);
  scaler.step(tiny.adam);
  EXPECT_FALSE(scaler.skipped());
  scaler.update();
  EXPECT_EQ(scaler.scale_value(), 1.0);
  EXPECT_TRUE(scaler.state_dict().get<checkpoint::Dict>()->empty());
}

TEST(GradScaler, AnIncompleteStateIsRefusedAndChangesNothing) {
  GradScaler scaler(at::kCPU, {.init_scale = 8});
  const Status loaded = scaler.load_state_dict(checkpoint::Dict{{"scale", 2.0}});
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(scaler.scale_value(), 8.0);
}

// torch.amp.GradScaler(growth_factor=2) keeps the integer.
TEST(GradScaler, IntegersCountAsItsFactors) {
  GradScaler scaler(at::kCPU, {.init_scale = 8});
  const Status loaded = scaler.load_state_dict(checkpoint::Dict{
      {"scale", 4}, {"growth_factor", 2}, {"backoff_factor", 0.5}, {"growth_interval", 10}, {"_growth_tracker", 0}});
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(scaler.scale_value(), 4.0);
}

at::ScalarType type_of_product(const at::Tensor& weight) { return at::linear(at::ones({1, 2}), weight).scalar_type(); }

TEST(AutocastGuard, CastsInItsScopeOnly) {
  const at::Tensor weight = at::ones({2, 2});
  {
    const AutocastGuard outer(at::kCPU, at::kBFloat16);
    EXPECT_EQ(type_of_product(weight), at::kBFloat16);
    {
      const AutocastGuard inner(at::kCPU, at::kHalf, /*enabled=*/false);
      EXPECT_EQ(type_of_product(weight), at::kFloat);
    }
    EXPECT_EQ(type_of_product(weight), at::kBFloat16);
  }
  EXPECT_EQ(type_of_product(weight), at::kFloat);
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
}

// Casts of parameters are remembered within a scope. Were they kept beyond it, the next step would use old weights.
TEST(AutocastGuard, SeesWeightsThatChangedBetweenScopes) {
  at::Tensor weight = at::ones({1, 2}).set_requires_grad(true);
  for (float value : {1.0f, 3.0f}) {
    {
      const c10::NoGradGuard no_grad;
      weight.fill_(value);
    }
    const AutocastGuard autocast(at::kCPU, at::kBFloat16);
    EXPECT_EQ(at::linear(at::ones({1, 2}), weight).item<float>(), 2 * value);
  }
}

}  // namespace
}  // namespace ferrun::ddp
