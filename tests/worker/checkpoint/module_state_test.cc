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

TEST(ModuleState, DropsWhatWrapsTheModelInAnyNesting) {
  for (const char* prefix : {"module.", "_orig_mod.", "model.", "net.", "network.", "_orig_mod.module.",
                             "module._orig_mod.", "model.module._orig_mod.", "_fsdp_wrapped_module.module."}) {
    SmallNet from(5), to;
    const Status loaded = load_module_state(to, renamed(module_state(from), prefix));
    ASSERT_TRUE(loaded.ok()) << prefix << loaded.error().message;
    EXPECT_EQ(to.scale.item<float>(), 5.0f);
  }
}

TEST(ModuleState, DropsTheWrapperOfAPartOfTheModel) {
  Dict state = *module_state(SmallNet(5)).get<Dict>();
  for (auto& [key, value] : state) {
    if (key.get<std::string>()->starts_with("bn.")) key = "bn._orig_mod." + key.get<std::string>()->substr(3);
  }
  SmallNet to;
  const Status loaded = load_module_state(to, state);
  EXPECT_TRUE(loaded.ok()) << loaded.error().message;
}

TEST(ModuleState, AModulesOwnNameIsNoWrapper) {
  struct Wrapping : torch::nn::Module {
    Wrapping() { register_module("model", std::make_shared<SmallNet>(5)); }
  };
  Wrapping to;
  const Value state = renamed(module_state(SmallNet(7)), "module.model.");
  ASSERT_TRUE(load_module_state(to, state).ok());
  EXPECT_EQ(to.named_parameters()["model.scale"].item<float>(), 7.0f);
  EXPECT_EQ(unwrapped_name("model.x", [](const std::string& name) { return name == "y"; }), "model.x");
}

TEST(ModuleState, TwoNamesForOneEntryAreRefused) {
  Value state = module_state(SmallNet(5));
  state.get<Dict>()->emplace_back("module.scale", at::ones({1}));
  SmallNet to;
  const Status loaded = load_module_state(to, state);
  ASSERT_FALSE(loaded.ok());
  EXPECT_NE(loaded.error().message.find("'scale' and 'module.scale'"), std::string::npos) << loaded.error().message;
}

// As load_state_dict of PyTorch does with a state_dict of versions before 0.4.1.
TEST(ModuleState, AMissingCounterOfBatchesIsKept) {
  Value state = module_state(SmallNet(5));
  state.get<Dict>()->pop_back();
  SmallNet to;
  to.bn->num_batches_tracked.fill_(3);
  auto loaded = load_state_dict(to, state, {});
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_TRUE(loaded->missing.empty());
  EXPECT_EQ(to.bn->num_batches_tracked.item<int64_t>(), 3);
  EXPECT_EQ(to.scale.item<float>(), 5.0f);
}

TEST(ModuleState, ANumberMayHaveOneDimension) {
  Value state = module_state(SmallNet(5));
  state.get<Dict>()->back().second = at::ones({1}, at::kLong);
  SmallNet to;
  ASSERT_TRUE(load_module_state(to, state).ok());
  EXPECT_EQ(to.bn->num_batches_tracked.item<int64_t>(), 1);
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
  missing.get<Dict>()->erase(missing.get<Dict>()->begin() + 1, missing.get<Dict>()->end());
  expect_refused(missing, "missing: 'conv.weight', 'bn.weight', 'bn.bias' and 2 more");
  Value unknown = module_state(SmallNet(5));
  unknown.get<Dict>()->emplace_back("extra.weight", at::zeros({1}));
  expect_refused(unknown, "unexpected: 'extra.weight'");
  Value reshaped = module_state(SmallNet(5));
  reshaped.get<Dict>()->at(2).second = at::zeros({4});
  expect_refused(reshaped, "size mismatch: 'bn.weight' has the shape [4], the model's [3]");
  expect_refused(Dict{{"scale", 3}}, "'scale' is no tensor");
  expect_refused(List{}, "no state_dict");
}

TEST(ModuleState, NotStrictLoadsWhatFitsAndReportsTheRest) {
  Value state = module_state(SmallNet(5));
  state.get<Dict>()->erase(state.get<Dict>()->begin() + 2);
  state.get<Dict>()->emplace_back("extra.weight", at::zeros({1}));
  SmallNet to;
  auto loaded = load_state_dict(to, state, {.strict = false});
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->missing, std::vector<std::string>{"bn.weight"});
  EXPECT_EQ(loaded->unexpected, std::vector<std::string>{"extra.weight"});
  EXPECT_EQ(to.scale.item<float>(), 5.0f);

  state.get<Dict>()->at(0).second = at::zeros({4});
  auto refused = load_state_dict(to, state, {.strict = false});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("size mismatch: 'scale'"), std::string::npos) << refused.error().message;

  SmallNet partly;
  auto fits = load_state_dict(partly, state, {.strict = false, .other_shapes = true});
  ASSERT_TRUE(fits.ok()) << fits.error().message;
  EXPECT_EQ(fits->skipped, std::vector<std::string>{"'scale' has the shape [4], the model's [1]"});
  EXPECT_NE(partly.scale.item<float>(), 5.0f);
}

TEST(ModuleState, NamesAreTranslatedBeforeWrappersAreTakenOff) {
  const Value given = renamed(module_state(SmallNet(5)), "old.module.");
  SmallNet to;
  const auto rename = [](const std::string& name) {
    return name == "old.module.bn.weight" ? std::string() : name.substr(std::string("old.").size());
  };
  auto loaded = load_state_dict(to, given, {.strict = false, .rename = rename});
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->missing, std::vector<std::string>{"bn.weight"});
  EXPECT_TRUE(loaded->unexpected.empty());
  EXPECT_EQ(to.scale.item<float>(), 5.0f);
}

TEST(ModuleState, AViewIsTheModulesOwnMemory) {
  const SmallNet net(5);
  const Value view = module_view(net);
  EXPECT_EQ(names(view), names(module_state(net)));
  EXPECT_EQ(view.find("scale")->get<at::Tensor>()->data_ptr(), net.scale.data_ptr());
}

}  // namespace
}  // namespace ferrun::checkpoint
