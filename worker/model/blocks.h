// The blocks that EmotionNet is built of, with the names of their parts in the public model. All take and return
// [N, C, H, W] and keep channels_last.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <vector>

namespace ferrun::model {

// Convolution without bias, BatchNorm, and SiLU unless `activate` is off.
class ConvImpl : public torch::nn::Module {
 public:
  struct Options {
    int64_t kernel = 1;
    int64_t stride = 1;
    int64_t groups = 1;
    bool activate = true;
    double eps = 1e-5;
  };
  ConvImpl(int64_t in, int64_t out, const Options& options);
  torch::Tensor forward(const torch::Tensor& x);
  // Redraws the convolution's weights: normal with this deviation, cut at ±2.
  void init_truncated_normal(double std);
  // See EmotionNetImpl::fold_batch_norm.
  void fold_batch_norm();
  bool activates() const { return activate_; }

 private:
  bool activate_;
  torch::Tensor folded_weight_, folded_bias_;
  torch::nn::Conv2d conv_{nullptr};
  torch::nn::BatchNorm2d bn_{nullptr};
};
TORCH_MODULE(Conv);

// x + two 3×3 convolutions through half the channels.
class BottleneckImpl : public torch::nn::Module {
 public:
  BottleneckImpl(int64_t channels, double eps);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  Conv cv1_{nullptr}, cv2_{nullptr};
};
TORCH_MODULE(Bottleneck);

// A wide convolution, one Bottleneck on its second half, and all pieces joined.
class C3k2Impl : public torch::nn::Module {
 public:
  C3k2Impl(int64_t in, int64_t out, double eps);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  Conv cv1_{nullptr}, cv2_{nullptr};
  Bottleneck m_{nullptr};
};
TORCH_MODULE(C3k2);

// Attention of heads with 32 channels among the positions of each of `area` horizontal bands, and a 7×7 depthwise
// convolution of the values as the positional part. H·W must be divisible by `area`.
class AreaAttentionImpl : public torch::nn::Module {
 public:
  static constexpr int64_t kHeadChannels = 32;
  AreaAttentionImpl(int64_t channels, int64_t area, double eps);
  torch::Tensor forward(const torch::Tensor& x);
  void init_truncated_normal(double std);
  int64_t area() const { return area_; }
  int64_t heads() const { return heads_; }

 private:
  int64_t area_;
  int64_t heads_;
  Conv qkv_{nullptr}, proj_{nullptr}, pe_{nullptr};
};
TORCH_MODULE(AreaAttention);

// x + attention, then x + a two-layer perceptron of 1×1 convolutions.
class ABlockImpl : public torch::nn::Module {
 public:
  ABlockImpl(int64_t channels, int64_t area, double eps);
  torch::Tensor forward(torch::Tensor x);

 private:
  AreaAttention attn_{nullptr};
  Conv mlp0_{nullptr}, mlp1_{nullptr};
};
TORCH_MODULE(ABlock);

// Two stages of two ABlocks through half the channels; the input of the first and each stage's output are joined.
class A2C2fImpl : public torch::nn::Module {
 public:
  A2C2fImpl(int64_t in, int64_t out, int64_t area, double eps);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  Conv cv1_{nullptr}, cv2_{nullptr};
  std::vector<std::vector<ABlock>> stages_;
};
TORCH_MODULE(A2C2f);

}  // namespace ferrun::model
