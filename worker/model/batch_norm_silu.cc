#include "worker/model/batch_norm_silu.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/functional/activation.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "worker/model/norm_kernels.h"

namespace ferrun::model {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast, kContiguous = at::MemoryFormat::Contiguous;

// Part of a batch's memory: rows of neighbouring channels' numbers.
struct Piece {
  int64_t at;       // the numbers before it
  int64_t rows;     // of `width` numbers each
  int64_t channel;  // of a row's first number
};

// A batch of pictures as the kernels take it, piece by piece. In channels_last memory rows hold all channels; in
// contiguous memory every plane is rows of one channel.
class Pieces {
 public:
  explicit Pieces(const Tensor& x) : channels_(x.size(1)), area_(x.size(2) * x.size(3)) {
    const bool interleaved = x.is_contiguous(kChannelsLast);
    width_ = interleaved ? channels_ : 1;
    planes_ = interleaved ? 1 : x.size(0) * channels_;
    plane_rows_ = interleaved ? x.size(0) * area_ : area_;
    step_ = kernels::chunk_rows(width_);
    pieces_in_plane_ = (plane_rows_ + step_ - 1) / step_;
  }

  int64_t channels() const { return channels_; }
  int64_t width() const { return width_; }
  int64_t count() const { return planes_ * pieces_in_plane_; }
  // Where a channel's first number is.
  int64_t first_number(int64_t channel) const { return planes_ == 1 ? channel : channel * area_; }
  Piece piece(int64_t number) const {
    const int64_t plane = number / pieces_in_plane_, row = number % pieces_in_plane_ * step_;
    return {(plane * plane_rows_ + row) * width_, std::min(step_, plane_rows_ - row), plane % channels_};
  }
  // Calls work(number, piece) for every piece, on LibTorch's threads.
  template <typename Work>
  void for_each(Work&& work) const {
    at::parallel_for(0, count(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t number = begin; number < end; ++number) work(number, piece(number));
    });
  }

 private:
  int64_t channels_, area_;
  int64_t width_ = 0, planes_ = 0, plane_rows_ = 0, step_ = 0, pieces_in_plane_ = 0;
};

// Two sums for every channel, taken by pieces and then put together in their order.
class ChannelSums {
 public:
  explicit ChannelSums(const Pieces& pieces)
      : pieces_(pieces),
        width_(static_cast<size_t>(pieces.width())),
        parts_(static_cast<size_t>(pieces.count()) * 2 * width_),
        totals_(static_cast<size_t>(pieces.channels()) * 2) {}

  double* first_part(int64_t piece) { return parts_.data() + static_cast<size_t>(piece) * 2 * width_; }
  double* second_part(int64_t piece) { return first_part(piece) + width_; }
  void add_up() {
    for (int64_t number = 0; number < pieces_.count(); ++number) {
      const auto channel = static_cast<size_t>(pieces_.piece(number).channel);
      for (size_t i = 0; i < width_; ++i) {
        totals_[2 * (channel + i)] += first_part(number)[i];
        totals_[2 * (channel + i) + 1] += second_part(number)[i];
      }
    }
  }
  // After add_up().
  double first(size_t channel) const { return totals_[2 * channel]; }
  double second(size_t channel) const { return totals_[2 * channel + 1]; }

 private:
  const Pieces& pieces_;
  size_t width_;
  std::vector<double> parts_, totals_;
};

// The numbers of a kind that the kernels know; see batch_norm_silu.
bool is_known(at::ScalarType type) { return type == at::kFloat || type == at::kBFloat16; }

// work(a number of x's type).
template <typename Work>
auto for_type_of(const Tensor& x, Work&& work) {
  return x.scalar_type() == at::kBFloat16 ? work(at::BFloat16()) : work(float());
}

struct Moments {
  Tensor mean;
  Tensor variance;  // of the batch, not corrected
};

template <typename T>
Moments batch_moments(const Tensor& x, const Pieces& pieces) {
  const T* data = x.const_data_ptr<T>();
  const auto channels = static_cast<size_t>(pieces.channels());
  // The first picture's first numbers are near enough to the means to keep the squares from cancelling.
  std::vector<float> shift(channels);
  for (size_t c = 0; c < channels; ++c) shift[c] = data[pieces.first_number(static_cast<int64_t>(c))];
  ChannelSums sums(pieces);
  pieces.for_each([&](int64_t number, const Piece& piece) {
    kernels::add_moments(data + piece.at, piece.rows, pieces.width(), shift.data() + piece.channel,
                         sums.first_part(number), sums.second_part(number));
  });
  sums.add_up();
  const auto options = x.options().dtype(at::kFloat);
  Moments moments{at::empty({pieces.channels()}, options), at::empty({pieces.channels()}, options)};
  const double count = static_cast<double>(x.numel() / pieces.channels());
  for (size_t c = 0; c < channels; ++c) {
    const double offset = sums.first(c) / count;
    const double variance = std::max(0.0, sums.second(c) / count - offset * offset);
    moments.mean.mutable_data_ptr<float>()[c] = static_cast<float>(static_cast<double>(shift[c]) + offset);
    moments.variance.mutable_data_ptr<float>()[c] = static_cast<float>(variance);
  }
  return moments;
}

template <typename T>
Tensor normalized(const Tensor& x, const Tensor& scale, const Tensor& offset, bool activate) {
  const Pieces pieces(x);
  Tensor y = at::empty_like(x);
  const T* from = x.const_data_ptr<T>();
  T* to = y.mutable_data_ptr<T>();
  const float *scales = scale.const_data_ptr<float>(), *offsets = offset.const_data_ptr<float>();
  pieces.for_each([&](int64_t, const Piece& piece) {
    kernels::normalize(from + piece.at, piece.rows, pieces.width(), scales + piece.channel, offsets + piece.channel,
                       activate, to + piece.at);
  });
  return y;
}

// What forward leaves for backward.
struct Saved {
  const Tensor &x, &weight, &mean, &inverse, &scale, &offset;
  bool activate, of_batch;
};

template <typename T>
variable_list gradients_of(const Saved& saved, const Tensor& dy) {
  const Tensor& x = saved.x;
  const Pieces pieces(x);
  Tensor dx = at::empty_like(x);
  ChannelSums sums(pieces);
  const T *from = x.const_data_ptr<T>(), *from_dy = dy.const_data_ptr<T>();
  T* to = dx.mutable_data_ptr<T>();
  const float *scale = saved.scale.const_data_ptr<float>(), *offset = saved.offset.const_data_ptr<float>();
  const float *mean = saved.mean.const_data_ptr<float>(), *inverse = saved.inverse.const_data_ptr<float>();
  pieces.for_each([&](int64_t number, const Piece& piece) {
    kernels::backward_sums(from + piece.at, from_dy + piece.at, piece.rows, pieces.width(), scale + piece.channel,
                           offset + piece.channel, mean + piece.channel, saved.activate, to + piece.at,
                           sums.first_part(number), sums.second_part(number));
  });
  sums.add_up();

  // Where mean and variance are the batch's, x moves them too:
  // dx = weight·inverse · (dz - mean(dz) - (x - mean)·inverse² · mean(dz·(x - mean))), as a·dz + b·x + d.
  // Otherwise dx = weight·inverse · dz.
  Tensor dweight = at::empty_like(saved.weight), dbias = at::empty_like(saved.weight);
  std::vector<float> a(static_cast<size_t>(pieces.channels())), b(a.size()), d(a.size());
  const double count = static_cast<double>(x.numel() / pieces.channels());
  for (size_t c = 0; c < a.size(); ++c) {
    const double inv = inverse[c], factor = saved.weight.const_data_ptr<float>()[c] * inv;
    a[c] = static_cast<float>(factor);
    if (saved.of_batch) {
      const double slope = -factor * inv * inv * sums.second(c) / count;
      b[c] = static_cast<float>(slope);
      d[c] = static_cast<float>(-factor * sums.first(c) / count - slope * static_cast<double>(mean[c]));
    }
    dweight.mutable_data_ptr<float>()[c] = static_cast<float>(sums.second(c) * inv);
    dbias.mutable_data_ptr<float>()[c] = static_cast<float>(sums.first(c));
  }
  pieces.for_each([&](int64_t, const Piece& piece) {
    kernels::backward_input(from + piece.at, to + piece.at, piece.rows, pieces.width(), a.data() + piece.channel,
                            b.data() + piece.channel, d.data() + piece.channel, to + piece.at);
  });
  return {dx, dweight, dbias, Tensor(), Tensor(), Tensor(), Tensor()};
}

class BatchNormSilu : public torch::autograd::Function<BatchNormSilu> {
 public:
  // `inverse` is 1 / sqrt(variance + eps); `of_batch`: mean and variance are x's own.
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const Tensor& mean, const Tensor& inverse, bool activate, bool of_batch) {
    const Tensor scale = inverse.mul(weight);
    const Tensor offset = bias.sub(mean.mul(scale));
    context->save_for_backward({x, weight, mean, inverse, scale, offset});
    context->saved_data["activate"] = activate;
    context->saved_data["of_batch"] = of_batch;
    return for_type_of(x, [&](auto number) { return normalized<decltype(number)>(x, scale, offset, activate); });
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto tensors = context->get_saved_variables();
    const Saved saved{tensors[0],
                      tensors[1],
                      tensors[2],
                      tensors[3],
                      tensors[4],
                      tensors[5],
                      context->saved_data["activate"].toBool(),
                      context->saved_data["of_batch"].toBool()};
    const Tensor& x = saved.x;
    // In x's order of memory, which the pieces are cut from.
    const Tensor dy = gradients[0].contiguous(x.is_contiguous(kChannelsLast) ? kChannelsLast : kContiguous);
    return for_type_of(x, [&](auto number) { return gradients_of<decltype(number)>(saved, dy); });
  }
};

bool fits(const Tensor& x, const torch::nn::BatchNorm2d& bn) {
  return x.device().is_cpu() && x.dim() == 4 && x.numel() > 0 && is_known(x.scalar_type()) &&
         (x.is_contiguous(kChannelsLast) || x.is_contiguous()) && bn->weight.defined() &&
         bn->weight.scalar_type() == at::kFloat && bn->running_mean.defined() &&
         bn->running_mean.scalar_type() == at::kFloat && bn->options.momentum().has_value();
}

// As torch.nn.BatchNorm2d moves them: the running variance takes the corrected one.
void move_statistics(torch::nn::BatchNorm2d& bn, const Moments& moments, int64_t count) {
  const c10::NoGradGuard no_grad;
  const double momentum = *bn->options.momentum();
  const double corrected = static_cast<double>(count) / static_cast<double>(std::max<int64_t>(count - 1, 1));
  bn->num_batches_tracked.add_(1);
  bn->running_mean.mul_(1 - momentum).add_(moments.mean, momentum);
  bn->running_var.mul_(1 - momentum).add_(moments.variance, momentum * corrected);
}

}  // namespace

Tensor batch_norm_silu(const Tensor& x, torch::nn::BatchNorm2d& bn, bool activate) {
  if (!fits(x, bn)) {
    Tensor y = bn->forward(x);
    return activate ? torch::silu_(y) : y;
  }
  const bool of_batch = bn->is_training();
  Tensor mean, inverse;
  {
    const c10::NoGradGuard no_grad;
    Moments moments{bn->running_mean, bn->running_var};
    if (of_batch) {
      const Pieces pieces(x);
      moments = for_type_of(x, [&](auto number) { return batch_moments<decltype(number)>(x, pieces); });
      move_statistics(bn, moments, x.numel() / x.size(1));
    }
    mean = moments.mean;
    inverse = moments.variance.add(bn->options.eps()).rsqrt();
  }
  return BatchNormSilu::apply(x, bn->weight, bn->bias, mean, inverse, activate, of_batch);
}

}  // namespace ferrun::model
