#include "worker/model/emotion_net.h"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <torch/nn/modules/linear.h>

#include "worker/model/blocks.h"

namespace ferrun::model {

struct EmotionNetImpl::Layers {
  Conv conv0{nullptr}, conv1{nullptr}, conv3{nullptr}, conv5{nullptr}, conv7{nullptr};
  C3k2 c3k2_2{nullptr}, c3k2_4{nullptr};
  A2C2f a2c2f_6{nullptr}, a2c2f_8{nullptr};
  Conv head{nullptr};
  torch::nn::Linear linear{nullptr};
};

EmotionNetImpl::EmotionNetImpl(int64_t classes, const EmotionNetOptions& options)
    : classes_(classes), layers_(std::make_shared<Layers>()) {
  constexpr int64_t kFeatures = 1280;
  const double eps = options.batch_norm_eps;
  const ConvImpl::Options halving{.kernel = 3, .stride = 2, .eps = eps};
  // Positions in `backbone` are part of the names in a state_dict; their order is that of the random draws.
  auto backbone = register_module("backbone", std::make_shared<torch::nn::Module>());
  layers_->conv0 = backbone->register_module("0", Conv(3, 16, halving));
  layers_->conv1 = backbone->register_module("1", Conv(16, 32, halving));
  layers_->c3k2_2 = backbone->register_module("2", C3k2(32, 64, eps));
  layers_->conv3 = backbone->register_module("3", Conv(64, 128, halving));
  layers_->c3k2_4 = backbone->register_module("4", C3k2(128, 128, eps));
  layers_->conv5 = backbone->register_module("5", Conv(128, 128, halving));
  layers_->a2c2f_6 = backbone->register_module("6", A2C2f(128, 128, options.area, eps));
  layers_->conv7 = backbone->register_module("7", Conv(128, 256, halving));
  layers_->a2c2f_8 = backbone->register_module("8", A2C2f(256, 256, /*area=*/1, eps));
  auto classify = register_module("classify", std::make_shared<torch::nn::Module>());
  layers_->head = classify->register_module("conv", Conv(256, kFeatures, ConvImpl::Options{.eps = eps}));
  layers_->linear = classify->register_module("linear", torch::nn::Linear(kFeatures, classes));
}

torch::Tensor EmotionNetImpl::forward(torch::Tensor x) {
  x = layers_->conv1->forward(layers_->conv0->forward(x));
  x = layers_->conv3->forward(layers_->c3k2_2->forward(x));
  x = layers_->conv5->forward(layers_->c3k2_4->forward(x));
  x = layers_->conv7->forward(layers_->a2c2f_6->forward(x));
  x = layers_->head->forward(layers_->a2c2f_8->forward(x));
  return layers_->linear->forward(at::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
}

void EmotionNetImpl::fold_batch_norm() {
  for (const auto& module : modules(/*include_self=*/false)) {
    if (auto* conv = module->as<ConvImpl>()) conv->fold_batch_norm();
  }
}

namespace {
constexpr int64_t kReduction = 32;  // of the sides, from the picture to the last map
}

std::string check_image_size(int64_t size) {
  // The last map is 1/32 of the picture. The one at 1/16 then has even sides, so its positions make four equal bands.
  if (size >= kReduction && size % kReduction == 0) return {};
  return std::to_string(size) + " is not a multiple of 32, as the network needs it; 64, 96 and 224 are";
}

int64_t least_training_batch(int64_t size) { return size == kReduction ? 2 : 1; }

}  // namespace ferrun::model
