// Adam without a peer: what they must refuse, skip and keep.
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "worker/ddp/adam.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

at::Tensor parameter(at::IntArrayRef sizes, double value = 1) {
  return at::ones(sizes).mul(value).set_requires_grad(true);
}

void set_gradient(const at::Tensor& parameter, const at::Tensor& gradient) {
  at::Tensor(parameter).mutable_grad() = gradient;
}

int64_t steps_taken(const Adam& adam, int64_t index) {
  const Value state = adam.state_dict(1e-3);
  for (const auto& [key, entry] : *state.find("state")->get<Dict>()) {
    if (*key.get<int64_t>() == index) return static_cast<int64_t>(entry.find("step")->get<at::Tensor>()->item<float>());
  }
  return -1;
}

TEST(Adam, TheFirstStepMovesEveryElementByTheLearningRate) {
  const at::Tensor weight = parameter({3});
  Adam adam({weight}, {.lr = 0.25});
  set_gradient(weight, at::rand({3}).add(0.5));
  adam.step();
  EXPECT_LT(weight.detach().sub(0.75).abs().max().item<float>(), 1e-6);
}

TEST(Adam, AParameterWithoutGradientHasNoState) {
  const at::Tensor used = parameter({2}), unused = parameter({2});
  Adam adam({unused, used}, {});
  set_gradient(used, at::ones({2}));
  adam.step();
  EXPECT_EQ(steps_taken(adam, 0), -1);
  EXPECT_EQ(steps_taken(adam, 1), 1);
  EXPECT_TRUE(unused.detach().equal(at::ones({2})));
}

TEST(Adam, AGradientOfAnotherLayoutGivesTheSameStep) {
  const at::Tensor start = at::rand({4, 3, 2, 5}), gradient = at::rand({4, 3, 2, 5}).sub(0.5);
  const at::Tensor plain = start.clone().set_requires_grad(true);
  const at::Tensor last = start.contiguous(at::MemoryFormat::ChannelsLast).clone().set_requires_grad(true);
  Adam plain_adam({plain}, {}), last_adam({last}, {});
  for (int step = 0; step < 3; ++step) {
    set_gradient(plain, gradient);
    set_gradient(last, gradient);  // plain layout for a channels_last parameter
    plain_adam.step();
    last_adam.step();
  }
  EXPECT_TRUE(plain.detach().equal(last.detach()));
}

TEST(Adam, AnOverflowLeavesEverythingAsItWas) {
  const at::Tensor weight = parameter({2});
  Adam adam({weight}, {});
  set_gradient(weight, at::ones({2}));
  adam.step();
  const at::Tensor before = weight.detach().clone();
  adam.step({}, at::ones({}));
  EXPECT_TRUE(weight.detach().equal(before));
  EXPECT_EQ(steps_taken(adam, 0), 1);
  adam.step({}, at::zeros({}));
  EXPECT_EQ(steps_taken(adam, 0), 2);
}

TEST(Adam, ZeroGradDropsOrKeepsTheGradientsMemory) {
  const at::Tensor weight = parameter({2});
  Adam adam({weight}, {});
  const at::Tensor view = at::ones({2});
  set_gradient(weight, view);
  adam.zero_grad(/*set_to_none=*/false);
  EXPECT_EQ(weight.grad().data_ptr(), view.data_ptr());
  EXPECT_EQ(view.sum().item<float>(), 0.0f);
  adam.zero_grad();
  EXPECT_FALSE(weight.grad().defined());
}

Value changed(Value state, const std::string& key, Value value) {
  Dict& group = *state.get<Dict>()->at(1).second.get<List>()->at(0).get<Dict>();
  for (auto& [name, held] : group) {
    if (*name.get<std::string>() == key) held = value;
  }
  return state;
}

TEST(Adam, AStateThatDoesNotFitIsRefusedAndChangesNothing) {
  const at::Tensor weight = parameter({2});
  Adam adam({weight}, {});
  set_gradient(weight, at::ones({2}));
  adam.step();
  const Value good = adam.state_dict(1e-3);
  const auto expect_refused = [&](const Value& state, const std::string& named) {
    const Status loaded = adam.load_state_dict(state);
    ASSERT_FALSE(loaded.ok()) << named;
    EXPECT_NE(loaded.error().message.find(named), std::string::npos) << loaded.error().message;
    EXPECT_EQ(adam.lr(), 1e-3);
    EXPECT_EQ(steps_taken(adam, 0), 1);
  };
  ASSERT_TRUE(adam.load_state_dict(good).ok());
  expect_refused(Dict{}, "no optimizer's state_dict");
  expect_refused(changed(good, "params", List{0, 1}), "2 parameters, the model has 1");
  expect_refused(changed(good, "amsgrad", true), "amsgrad");
  expect_refused(changed(good, "decoupled_weight_decay", true),
                 "the checkpoint's optimizer is AdamW, this run's is Adam");
  Value reshaped = good;
  reshaped.get<Dict>()->at(0).second.get<Dict>()->at(0).second.get<Dict>()->at(1).second = at::ones({3});
  expect_refused(reshaped, "another shape");
  Value elsewhere = good;
  elsewhere.get<Dict>()->at(0).second.get<Dict>()->at(0).first = 5;
  expect_refused(elsewhere, "not there");
}

}  // namespace
}  // namespace ferrun::ddp
