#include "worker/checkpoint/module_state.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

namespace ferrun::checkpoint {
namespace {

// conv (weight), bn (weight, bias, running_mean, running_var, num_batches_tracked), and a parameter of its own.
struct SmallNet : torch::nn::Module {
  explicit SmallNet(double value = 1) {
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 3, 3).bias(false)));
    bn = register_module("bn", torch::nn::BatchNorm2d(3));
    scale = register_parameter("scale", at::ones({1}) * value);
  }
  torch::nn::Conv2d conv{nullptr};
  torch::nn::BatchNorm2d bn{nullptr};
  at::Tensor scale;
};

std::vector<std::string> names(const Value& state) {
  std::vector<std::string> found;
  for (const auto& [key, value] : *state.get<Dict>()) found.push_back(*key.get<std::string>());
  return found;
}

Value renamed(const Value& state, const std::string& prefix) {
  Dict dict;
  for (const auto& [key, value] : *state.get<Dict>()) dict.emplace_back(prefix + *key.get<std::string>(), value);
  return dict;
}

TEST(ModuleState, TheOrderIsPythons) {
  EXPECT_EQ(names(module_state(SmallNet())),
            (std::vector<std::string>{"scale", "conv.weight", "bn.weight", "bn.bias", "bn.running_mean",
                                      "bn.running_var", "bn.num_batches_tracked"}));
}

TEST(ModuleState, IsACopyInPlainLayout) {
  SmallNet net;
  net.conv->weight.set_data(net.conv->weight.contiguous(at::MemoryFormat::ChannelsLast));
  const Value state = module_state(net);
  const at::Tensor weight = *state.find("conv.weight")->get<at::Tensor>();
  EXPECT_TRUE(weight.is_contiguous());
  EXPECT_FALSE(weight.requires_grad());
  const at::Tensor before = weight.clone();
  const c10::NoGradGuard no_grad;
  net.conv->weight.zero_();
  EXPECT_TRUE(weight.equal(before));
}

TEST(ModuleState, LoadsIntoAModelOfOtherStridesWithoutChangingThem) {
  SmallNet from(5), to;
  to.conv->weight.set_data(to.conv->weight.contiguous(at::MemoryFormat::ChannelsLast));
  ASSERT_TRUE(load_module_state(to, module_state(from)).ok());
  EXPECT_TRUE(to.conv->weight.equal(from.conv->weight));
  EXPECT_TRUE(to.conv->weight.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_EQ(to.scale.item<float>(), 5.0f);
  EXPECT_TRUE(to.scale.requires_grad());
}

TEST(ModuleState, DropsThePrefixOfPythonsWrapper) {
  SmallNet from(5), to;
  ASSERT_TRUE(load_module_state(to, renamed(module_state(from), "module.")).ok());
  EXPECT_EQ(to.scale.item<float>(), 5.0f);
}

TEST(ModuleState, AMisfitChangesNothingAndIsNamed) {
  const auto expect_refused = [](const Value& state, const std::string& named) {
    SmallNet to;
    const Status loaded = load_module_state(to, state);
    ASSERT_FALSE(loaded.ok());
    EXPECT_NE(loaded.error().message.find(named), std::string::npos) << loaded.error().message;
    EXPECT_EQ(to.scale.item<float>(), 1.0f);
  };
  Value missing = module_state(SmallNet(5));
  missing.get<Dict>()->pop_back();
  expect_refused(missing, "'bn.num_batches_tracked'");
  Value unknown = module_state(SmallNet(5));
  unknown.get<Dict>()->emplace_back("extra.weight", at::zeros({1}));
  expect_refused(unknown, "'extra.weight'");
  Value reshaped = module_state(SmallNet(5));
  reshaped.get<Dict>()->at(2).second = at::zeros({4});
  expect_refused(reshaped, "'bn.weight' has the shape [4], the model needs [3]");
  expect_refused(Dict{{"scale", 3}}, "'scale' is no tensor");
  expect_refused(List{}, "no state_dict");
}

TEST(ModuleState, CommonEntriesCanBeLoadedAlone) {
  Value state = module_state(SmallNet(5));
  state.get<Dict>()->pop_back();
  state.get<Dict>()->emplace_back("extra.weight", at::zeros({1}));
  SmallNet to;
  ASSERT_TRUE(load_module_state(to, state, Match::kCommonOnly).ok());
  EXPECT_EQ(to.scale.item<float>(), 5.0f);
}

}  // namespace
}  // namespace ferrun::checkpoint
