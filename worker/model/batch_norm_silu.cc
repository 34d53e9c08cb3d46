#include "worker/model/batch_norm_silu.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/functional/activation.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "worker/model/norm_kernels.h"

namespace ferrun::model {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

// A picture batch as the kernels see it.
struct Rows {
  explicit Rows(const Tensor& x) : channels(x.size(1)), count(x.size(0) * x.size(2) * x.size(3)) {}

  int64_t channels;
  int64_t count;

  // Calls work(chunk, first row, rows) for every chunk, on LibTorch's threads.
  template <typename Work>
  void for_each_chunk(Work&& work) const {
    const int64_t step = kernels::chunk_rows(channels);
    at::parallel_for(0, chunks(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t chunk = begin; chunk < end; ++chunk) work(chunk, chunk * step, std::min(step, count - chunk * step));
    });
  }
  int64_t chunks() const {
    const int64_t step = kernels::chunk_rows(channels);
    return (count + step - 1) / step;
  }
};

// Two sums for every channel, taken by chunks and then put together in their order.
class ChannelSums {
 public:
  explicit ChannelSums(const Rows& rows)
      : channels_(static_cast<size_t>(rows.channels)), sums_(static_cast<size_t>(rows.chunks()) * 2 * channels_) {}

  double* first(int64_t chunk) { return sums_.data() + static_cast<size_t>(chunk) * 2 * channels_; }
  double* second(int64_t chunk) { return first(chunk) + channels_; }
  // Afterwards the totals are chunk 0's.
  void add_up() {
    for (size_t from = 2 * channels_; from < sums_.size(); ++from) sums_[from % (2 * channels_)] += sums_[from];
  }

 private:
  size_t channels_;
  std::vector<double> sums_;
};

struct Moments {
  Tensor mean;
  Tensor variance;  // of the batch, not corrected
};

Moments batch_moments(const Tensor& x, const Rows& rows) {
  const float* data = x.const_data_ptr<float>();
  // The first position's numbers are near enough to the mean to keep the squares from cancelling.
  const std::vector<float> shift(data, data + rows.channels);
  ChannelSums sums(rows);
  rows.for_each_chunk([&](int64_t chunk, int64_t row, int64_t count) {
    kernels::add_moments(data + row * rows.channels, count, rows.channels, shift.data(), sums.first(chunk),
                         sums.second(chunk));
  });
  sums.add_up();
  Moments moments{at::empty({rows.channels}, x.options()), at::empty({rows.channels}, x.options())};
  const double count = static_cast<double>(rows.count);
  for (int64_t c = 0; c < rows.channels; ++c) {
    const double offset = sums.first(0)[c] / count;
    const double variance = std::max(0.0, sums.second(0)[c] / count - offset * offset);
    moments.mean.mutable_data_ptr<float>()[c] =
        static_cast<float>(static_cast<double>(shift[static_cast<size_t>(c)]) + offset);
    moments.variance.mutable_data_ptr<float>()[c] = static_cast<float>(variance);
  }
  return moments;
}

class BatchNormSilu : public torch::autograd::Function<BatchNormSilu> {
 public:
  // `inverse` is 1 / sqrt(variance + eps).
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const Tensor& mean, const Tensor& inverse, bool activate) {
    const Rows rows(x);
    const Tensor scale = inverse.mul(weight);
    const Tensor offset = bias.sub(mean.mul(scale));
    Tensor y = at::empty_like(x);
    const float* from = x.const_data_ptr<float>();
    float* to = y.mutable_data_ptr<float>();
    rows.for_each_chunk([&](int64_t, int64_t row, int64_t count) {
      const int64_t at = row * rows.channels;
      kernels::normalize(from + at, count, rows.channels, scale.const_data_ptr<float>(), offset.const_data_ptr<float>(),
                         activate, to + at);
    });
    context->save_for_backward({x, weight, mean, inverse, scale, offset});
    context->saved_data["activate"] = activate;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &inverse = saved[3];
    const bool activate = context->saved_data["activate"].toBool();
    const Rows rows(x);
    const Tensor dy = gradients[0].contiguous(kChannelsLast);
    Tensor dx = at::empty_like(x);
    ChannelSums sums(rows);
    const float *from = x.const_data_ptr<float>(), *from_dy = dy.const_data_ptr<float>();
    float* to = dx.mutable_data_ptr<float>();
    rows.for_each_chunk([&](int64_t chunk, int64_t row, int64_t count) {
      const int64_t at = row * rows.channels;
      kernels::backward_sums(from + at, from_dy + at, count, rows.channels, saved[4].const_data_ptr<float>(),
                             saved[5].const_data_ptr<float>(), mean.const_data_ptr<float>(), activate, to + at,
                             sums.first(chunk), sums.second(chunk));
    });
    sums.add_up();

    // dx = weight·inverse · (dz - mean(dz) - (x - mean)·inverse² · mean(dz·(x - mean))), as a·dz + b·x + d.
    Tensor dweight = at::empty_like(weight), dbias = at::empty_like(weight);
    std::vector<float> a(static_cast<size_t>(rows.channels)), b(a.size()), d(a.size());
    const double count = static_cast<double>(rows.count);
    for (size_t c = 0; c < a.size(); ++c) {
      const double inv = inverse.const_data_ptr<float>()[c], factor = weight.const_data_ptr<float>()[c] * inv;
      const double sum = sums.first(0)[c], product = sums.second(0)[c];
      const double slope = -factor * inv * inv * product / count;
      a[c] = static_cast<float>(factor);
      b[c] = static_cast<float>(slope);
      d[c] = static_cast<float>(-factor * sum / count - slope * static_cast<double>(mean.const_data_ptr<float>()[c]));
      dweight.mutable_data_ptr<float>()[c] = static_cast<float>(product * inv);
      dbias.mutable_data_ptr<float>()[c] = static_cast<float>(sum);
    }
    rows.for_each_chunk([&](int64_t, int64_t row, int64_t chunk_rows) {
      const int64_t at = row * rows.channels;
      kernels::backward_input(from + at, to + at, chunk_rows, rows.channels, a.data(), b.data(), d.data(), to + at);
    });
    return {dx, dweight, dbias, Tensor(), Tensor(), Tensor()};
  }
};

bool fits(const Tensor& x, const torch::nn::BatchNorm2d& bn) {
  return bn->is_training() && x.device().is_cpu() && x.dim() == 4 && x.numel() > 0 && x.scalar_type() == at::kFloat &&
         bn->weight.scalar_type() == at::kFloat && x.is_contiguous(kChannelsLast) && bn->options.momentum().has_value();
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
  Moments moments;
  Tensor inverse;
  {
    const c10::NoGradGuard no_grad;
    const Rows rows(x);
    moments = batch_moments(x, rows);
    inverse = moments.variance.add(bn->options.eps()).rsqrt();
    move_statistics(bn, moments, rows.count);
  }
  return BatchNormSilu::apply(x, bn->weight, bn->bias, moments.mean, inverse, activate);
}

}  // namespace ferrun::model
