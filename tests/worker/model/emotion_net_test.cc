#include "worker/model/emotion_net.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "worker/checkpoint/module_state.h"
#include "worker/model/weights.h"

namespace ferrun::model {
namespace {

TEST(EmotionNet, HasThePublicModelsSize) {
  EmotionNet model(7);
  int64_t elements = 0;
  for (const at::Tensor& parameter : model->parameters()) elements += parameter.numel();
  EXPECT_EQ(elements, 1768551);
  EXPECT_EQ(checkpoint::named_state(*model).size(), 350u);
}

TEST(EmotionNet, AnyAllowedPictureSizeGivesLogits) {
  at::set_num_threads(1);
  EmotionNet model(5);
  const c10::NoGradGuard no_grad;
  for (int64_t size : {32, 64, 96}) {
    EXPECT_EQ(check_image_size(size), "");
    EXPECT_EQ(model->forward(at::randn({2, 3, size, size})).sizes().vec(), (std::vector<int64_t>{2, 5}));
  }
}

TEST(EmotionNet, OtherPictureSizesAreRefusedWithTheRemedy) {
  for (int64_t size : {-32, 0, 16, 33, 100}) {
    EXPECT_NE(check_image_size(size).find("multiple of 32"), std::string::npos) << size;
  }
}

TEST(EmotionNet, ConvolutionsOfAttentionBlocksStartNarrowAndOthersAtTheDefault) {
  at::manual_seed(1);
  EmotionNet model(7);
  for (const auto& parameter : model->named_parameters()) {
    if (parameter.value().dim() != 4) continue;
    const double deviation = parameter.value().std().item<double>();
    const bool in_block =
        parameter.key().find(".attn.") != std::string::npos || parameter.key().find(".mlp.") != std::string::npos;
    const double fan_in = static_cast<double>(parameter.value().numel() / parameter.value().size(0));
    EXPECT_NEAR(deviation, in_block ? 0.02 : std::sqrt(1.0 / 3 / fan_in), in_block ? 0.001 : 0.02) << parameter.key();
  }
}

TEST(EmotionNet, FoldedBatchNormGivesTheSameLogits) {
  at::manual_seed(4);
  EmotionNet model(7);
  {
    const c10::NoGradGuard no_grad;
    for (int i = 0; i < 4; ++i) model->forward(at::randn({4, 3, 64, 64}));  // moves the running statistics
  }
  model->eval();
  const c10::NoGradGuard no_grad;
  const at::Tensor x = at::randn({2, 3, 64, 64});
  const at::Tensor plain = model->forward(x);
  const auto names = checkpoint::named_state(*model).size();
  model->fold_batch_norm();
  const at::Tensor folded = model->forward(x);
  EXPECT_LT((folded - plain).abs().max().item<double>() / plain.abs().max().item<double>(), 1e-5);
  EXPECT_FALSE(folded.equal(plain)) << "nothing was folded";
  EXPECT_EQ(checkpoint::named_state(*model).size(), names);
}

TEST(Weights, AWholePickledModelIsNamedWithTheRemedy) {
  const auto refused = find_weights(checkpoint::Opaque{"emotion_net.EmotionNet"});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("emotion_net.EmotionNet"), std::string::npos);
  EXPECT_NE(refused.error().message.find(".state_dict(), \"weights.pt\")"), std::string::npos);
  const auto inner = find_weights(checkpoint::Dict{{"model", checkpoint::Opaque{"net.Net"}}});
  ASSERT_FALSE(inner.ok());
  EXPECT_NE(inner.error().message.find("[\"model\"].state_dict()"), std::string::npos) << inner.error().message;
}

TEST(Weights, AreFoundInCheckpointsOfSeveralShapes) {
  const checkpoint::Value state = checkpoint::module_state(*EmotionNet(5));
  for (const checkpoint::Value& file :
       {state, checkpoint::Value(checkpoint::Dict{{"epoch", 1}, {"model_state_dict", state}}),
        checkpoint::Value(checkpoint::Dict{{"state_dict", state}}),
        checkpoint::Value(checkpoint::Dict{{"network", checkpoint::Dict{{"weights", state}}}}),
        checkpoint::Value(checkpoint::Dict{{"my own name", state}})}) {
    auto found = find_weights(file);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(count_classes(**found), 5);
  }
  EXPECT_FALSE(find_weights(checkpoint::Dict{{"epoch", 1}}).ok());
}

TEST(Weights, AWrongNumberOfClassesIsToldAsSuch) {
  EmotionNet model(7);
  const Status loaded = load_weights(model, checkpoint::module_state(*EmotionNet(5)));
  ASSERT_FALSE(loaded.ok());
  EXPECT_NE(loaded.error().message.find("5 classes"), std::string::npos) << loaded.error().message;
}

}  // namespace
}  // namespace ferrun::model
