#include "worker/model/blocks.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <c10/core/GradMode.h>

#include "worker/model/batch_norm_silu.h"

namespace ferrun::model {
namespace {

constexpr double kAttentionStd = 0.02;
constexpr double kAttentionCut = 2.0;

// A module without parameters of its own: the public model keeps lists and sequences, whose positions are part of
// names.
std::shared_ptr<torch::nn::Module> make_level() { return std::make_shared<torch::nn::Module>(); }

// torch.nn.init.trunc_normal_: by the inverse of the normal distribution, because that is how the public model draws.
void truncated_normal(torch::Tensor weight, double std, double cut) {
  const auto below = [](double x) { return (1.0 + std::erf(x / std::sqrt(2.0))) / 2.0; };
  const double low = below(-cut / std), high = below(cut / std);
  const c10::NoGradGuard no_grad;
  weight.uniform_(2 * low - 1, 2 * high - 1).erfinv_().mul_(std * std::sqrt(2.0)).clamp_(-cut, cut);
}

}  // namespace

ConvImpl::ConvImpl(int64_t in, int64_t out, const Options& options) : activate_(options.activate) {
  conv_ = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, options.kernel)
                                                        .stride(options.stride)
                                                        .padding(options.kernel / 2)
                                                        .groups(options.groups)
                                                        .bias(false)));
  bn_ = register_module("bn", torch::nn::BatchNorm2d(torch::nn::BatchNorm2dOptions(out).eps(options.eps)));
}

torch::Tensor ConvImpl::forward(const torch::Tensor& x) {
  if (!folded_weight_.defined() || is_training()) return batch_norm_silu(conv_->forward(x), bn_, activate_);
  const auto& options = conv_->options;
  // The padding that the constructor chose: a 3 × 3 convolution keeps the picture's size.
  const int64_t padding = folded_weight_.size(2) / 2;
  torch::Tensor y =
      at::conv2d(x, folded_weight_, folded_bias_, options.stride(), {padding, padding}, {1, 1}, options.groups());
  return activate_ ? torch::silu_(y) : y;
}

void ConvImpl::fold_batch_norm() {
  const c10::NoGradGuard no_grad;
  // In double, rounded once. The weight keeps its memory order.
  const torch::Tensor scale =
      bn_->weight.to(at::kDouble) / (bn_->running_var.to(at::kDouble) + bn_->options.eps()).sqrt();
  folded_weight_ = at::empty_like(conv_->weight);
  folded_weight_.copy_(conv_->weight.to(at::kDouble) * scale.view({-1, 1, 1, 1}));
  folded_bias_ = (bn_->bias.to(at::kDouble) - bn_->running_mean.to(at::kDouble) * scale).to(at::kFloat);
}

void ConvImpl::init_truncated_normal(double std) { truncated_normal(conv_->weight, std, kAttentionCut); }

BottleneckImpl::BottleneckImpl(int64_t channels, double eps) {
  cv1_ = register_module("cv1", Conv(channels, channels / 2, ConvImpl::Options{.kernel = 3, .eps = eps}));
  cv2_ = register_module("cv2", Conv(channels / 2, channels, ConvImpl::Options{.kernel = 3, .eps = eps}));
}

torch::Tensor BottleneckImpl::forward(const torch::Tensor& x) { return x + cv2_->forward(cv1_->forward(x)); }

C3k2Impl::C3k2Impl(int64_t in, int64_t out, double eps) {
  const int64_t hidden = out / 4;
  cv1_ = register_module("cv1", Conv(in, 2 * hidden, ConvImpl::Options{.eps = eps}));
  cv2_ = register_module("cv2", Conv(3 * hidden, out, ConvImpl::Options{.eps = eps}));
  m_ = register_module("m", make_level())->register_module("0", Bottleneck(hidden, eps));
}

torch::Tensor C3k2Impl::forward(const torch::Tensor& x) {
  const torch::Tensor wide = cv1_->forward(x);
  // The two halves of `wide` are joined again as they are, so only the half for the bottleneck is cut out.
  return cv2_->forward(torch::cat({wide, m_->forward(wide.chunk(2, 1)[1])}, 1));
}

AreaAttentionImpl::AreaAttentionImpl(int64_t channels, int64_t area, double eps)
    : area_(area), heads_(channels / kHeadChannels) {
  const ConvImpl::Options linear{.activate = false, .eps = eps};
  qkv_ = register_module("qkv", Conv(channels, 3 * channels, linear));
  proj_ = register_module("proj", Conv(channels, channels, linear));
  pe_ = register_module("pe", Conv(channels, channels,
                                   ConvImpl::Options{.kernel = 7, .groups = channels, .activate = false, .eps = eps}));
}

torch::Tensor AreaAttentionImpl::forward(const torch::Tensor& x) {
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  // In channels_last memory the map already is the list of its positions, hence none of these views copies.
  const torch::Tensor tokens =
      qkv_->forward(x).flatten(2).transpose(1, 2).reshape({n * area_, h * w / area_, heads_, 3 * kHeadChannels});
  const auto parts = tokens.transpose(1, 2).split(kHeadChannels, -1);
  const auto as_image = [&](const torch::Tensor& heads) {
    return heads.transpose(1, 2).reshape({n, h, w, c}).permute({0, 3, 1, 2});
  };
  const torch::Tensor attended = at::scaled_dot_product_attention(parts[0], parts[1], parts[2]);
  return proj_->forward(as_image(attended) + pe_->forward(as_image(parts[2])));
}

void AreaAttentionImpl::init_truncated_normal(double std) {
  for (Conv conv : {qkv_, proj_, pe_}) conv->init_truncated_normal(std);
}

ABlockImpl::ABlockImpl(int64_t channels, int64_t area, double eps) {
  attn_ = register_module("attn", AreaAttention(channels, area, eps));
  auto mlp = register_module("mlp", make_level());
  mlp0_ = mlp->register_module("0", Conv(channels, 2 * channels, ConvImpl::Options{.eps = eps}));
  mlp1_ = mlp->register_module("1", Conv(2 * channels, channels, ConvImpl::Options{.activate = false, .eps = eps}));
  attn_->init_truncated_normal(kAttentionStd);
  mlp0_->init_truncated_normal(kAttentionStd);
  mlp1_->init_truncated_normal(kAttentionStd);
}

torch::Tensor ABlockImpl::forward(torch::Tensor x) {
  x = x + attn_->forward(x);
  return x + mlp1_->forward(mlp0_->forward(x));
}

A2C2fImpl::A2C2fImpl(int64_t in, int64_t out, int64_t area, double eps) {
  constexpr int kStages = 2, kBlocks = 2;
  const int64_t hidden = out / 2;
  cv1_ = register_module("cv1", Conv(in, hidden, ConvImpl::Options{.eps = eps}));
  cv2_ = register_module("cv2", Conv((1 + kStages) * hidden, out, ConvImpl::Options{.eps = eps}));
  auto list = register_module("m", make_level());
  for (int stage = 0; stage < kStages; ++stage) {
    auto sequence = list->register_module(std::to_string(stage), make_level());
    stages_.emplace_back();
    for (int block = 0; block < kBlocks; ++block) {
      stages_.back().push_back(sequence->register_module(std::to_string(block), ABlock(hidden, area, eps)));
    }
  }
}

torch::Tensor A2C2fImpl::forward(const torch::Tensor& x) {
  std::vector<torch::Tensor> pieces{cv1_->forward(x)};
  for (auto& stage : stages_) {
    torch::Tensor y = pieces.back();
    for (ABlock& block : stage) y = block->forward(y);
    pieces.push_back(y);
  }
  return cv2_->forward(torch::cat(pieces, 1));
}

}  // namespace ferrun::model
