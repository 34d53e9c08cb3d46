#include "worker/ddp/sync_batch_norm.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "worker/ddp/collectives.h"

namespace ferrun::ddp {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Dimensions of a channel's values.
std::vector<int64_t> value_dimensions(const at::Tensor& input) {
  std::vector<int64_t> dimensions{0};
  for (int64_t i = 2; i < input.dim(); ++i) dimensions.push_back(i);
  return dimensions;
}

// [channels] so that it is broadcast over [samples, channels, …].
at::Tensor over(const at::Tensor& channels, const at::Tensor& input) {
  std::vector<int64_t> shape(static_cast<size_t>(input.dim()), 1);
  shape[1] = channels.size(0);
  return channels.view(shape);
}

at::ScalarType computed_in(const at::Tensor& input) {
  return input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

struct Moments {
  at::Tensor mean, variance;  // biased
  at::Tensor count;           // of values a channel, on all ranks; one element
};

// Means and squared deviations are put together, not sums of squares, which cancel.
Moments moments_of_all(const at::Tensor& input, ProcessGroup& group) {
  const int64_t channels = input.size(1), values = channels == 0 ? 0 : input.numel() / channels;
  const std::vector<int64_t> dimensions = value_dimensions(input);
  const at::Tensor own_mean = input.sum(dimensions) / std::max<int64_t>(values, 1);
  const at::Tensor own_squares = (input - over(own_mean, input)).square().sum(dimensions);
  const at::Tensor own_count = at::full({1}, values, own_mean.options());
  const at::Tensor all = at::stack(all_gather(group, at::cat({own_mean, own_squares, own_count})));
  const at::Tensor means = all.narrow(1, 0, channels), squares = all.narrow(1, channels, channels);
  const at::Tensor counts = all.narrow(1, 2 * channels, 1);
  const at::Tensor count = counts.sum(0);
  const at::Tensor mean = (means * counts).sum(0) / count;
  const at::Tensor deviations = (squares + counts * (means - mean).square()).sum(0);
  return {mean, deviations / count, count};
}

class Normalize : public torch::autograd::Function<Normalize> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& mean, const at::Tensor& inverse_deviation,
                            const at::Tensor& count, std::shared_ptr<ProcessGroup> group) {
    context->save_for_backward({input, weight, mean, inverse_deviation, count});
    groups(context) = std::move(group);
    at::Tensor output = (input.to(mean.scalar_type()) - over(mean, input)) * over(inverse_deviation, input);
    if (weight.defined()) output = output * over(weight, input) + over(bias, input);
    return output.to(input.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &input = saved[0], &weight = saved[1], &mean = saved[2], &inverse = saved[3], &count = saved[4];
    const at::Tensor gradient = gradients[0].to(mean.scalar_type());
    const at::Tensor centered = input.to(mean.scalar_type()) - over(mean, input);
    const std::vector<int64_t> dimensions = value_dimensions(input);
    const at::Tensor own_sum = gradient.sum(dimensions), own_product = (gradient * centered).sum(dimensions);
    at::Tensor sums = at::stack({own_sum, own_product});
    all_reduce(*groups(context), sums);
    sums = sums / count;
    at::Tensor scale = inverse;
    if (weight.defined()) scale = scale * weight;
    const at::Tensor to_input =
        (gradient - over(sums[0], input) - centered * over(inverse.square() * sums[1], input)) * over(scale, input);
    const at::Tensor to_weight = weight.defined() ? own_product * inverse : at::Tensor();
    const at::Tensor to_bias = weight.defined() ? own_sum : at::Tensor();
    return {to_input.to(input.scalar_type()), to_weight, to_bias, {}, {}, {}, {}};
  }

 private:
  struct Group : torch::CustomClassHolder {
    std::shared_ptr<ProcessGroup> group;
  };
  // The context keeps tensors and IValues alone: the group travels in a capsule.
  static std::shared_ptr<ProcessGroup>& groups(AutogradContext* context) {
    c10::IValue& kept = context->saved_data["group"];
    if (kept.isNone()) kept = c10::IValue::make_capsule(c10::make_intrusive<Group>());
    return c10::static_intrusive_pointer_cast<Group>(kept.toCapsule())->group;
  }
};

void share(at::Tensor& to, const at::Tensor& from) {
  if (!from.defined()) return;
  to.set_data(from.detach());
  to.set_requires_grad(from.requires_grad());
}

// A SyncBatchNorm with the tensors of the module, which is a BatchNorm of this type; null when it is another.
template <typename BatchNormImpl>
std::shared_ptr<SyncBatchNormImpl> converted(const torch::nn::Module& module,
                                             const std::shared_ptr<ProcessGroup>& group) {
  const auto* const old = dynamic_cast<const BatchNormImpl*>(&module);
  if (old == nullptr) return nullptr;
  auto made = std::make_shared<SyncBatchNormImpl>(old->options, group);
  share(made->weight, old->weight);
  share(made->bias, old->bias);
  share(made->running_mean, old->running_mean);
  share(made->running_var, old->running_var);
  share(made->num_batches_tracked, old->num_batches_tracked);
  made->train(old->is_training());
  return made;
}

std::shared_ptr<SyncBatchNormImpl> converted_of_any_kind(const torch::nn::Module& module,
                                                         const std::shared_ptr<ProcessGroup>& group) {
  std::shared_ptr<SyncBatchNormImpl> made = converted<torch::nn::BatchNorm1dImpl>(module, group);
  if (!made) made = converted<torch::nn::BatchNorm2dImpl>(module, group);
  return made ? made : converted<torch::nn::BatchNorm3dImpl>(module, group);
}

}  // namespace

void SyncBatchNormImpl::_check_input_dim(const at::Tensor& input) {
  TORCH_CHECK(input.dim() >= 2 && input.size(1) == options.num_features(), "SyncBatchNorm of ", options.num_features(),
              " channels expects [samples, channels, ...], not ", input.sizes());
}

// Of the new values in the running statistics; without a momentum these are the mean of all.
double SyncBatchNormImpl::average_factor() {
  if (options.momentum()) return *options.momentum();
  return 1.0 / static_cast<double>(num_batches_tracked.item<int64_t>());
}

at::Tensor SyncBatchNormImpl::forward(const at::Tensor& input) {
  _check_input_dim(input);
  const bool averages = is_training() && options.track_running_stats();
  if (averages) num_batches_tracked += 1;
  if (!is_training() || group_->alone()) {
    return at::batch_norm(input, weight, bias, running_mean, running_var,
                          /*training=*/is_training() || !options.track_running_stats(),
                          averages ? average_factor() : 0.0, options.eps(), /*cudnn_enabled=*/true);
  }
  Moments moments;
  at::Tensor inverse_deviation;
  {
    const at::NoGradGuard no_grad;
    moments = moments_of_all(input.detach().to(computed_in(input)), *group_);
    inverse_deviation = (moments.variance + options.eps()).rsqrt();
    if (averages) {
      const double factor = average_factor();
      running_mean.mul_(1 - factor).add_(moments.mean.to(running_mean.scalar_type()), factor);
      const at::Tensor unbiased = moments.variance * (moments.count / (moments.count - 1));
      running_var.mul_(1 - factor).add_(unbiased.to(running_var.scalar_type()), factor);
    }
  }
  return Normalize::apply(input, weight, bias, moments.mean, inverse_deviation, moments.count, group_);
}

torch::nn::Sequential convert_sync_batchnorm(const torch::nn::Sequential& network,
                                             const std::shared_ptr<ProcessGroup>& group) {
  torch::OrderedDict<std::string, torch::nn::AnyModule> layers;
  auto layer = network->begin();
  for (const auto& child : network->named_children()) {
    if (auto made = converted_of_any_kind(*child.value(), group)) {
      layers.insert(child.key(), torch::nn::AnyModule(std::move(made)));
    } else {
      for (const auto& inner : child.value()->named_modules("", /*include_self=*/false)) {
        if (converted_of_any_kind(*inner.value(), group)) {
          throw std::invalid_argument("'" + child.key() + "." + inner.key() + "' is a BatchNorm that '" + child.key() +
                                      "' calls by its type: give that module a SyncBatchNorm");
        }
      }
      layers.insert(child.key(), torch::nn::AnyModule(*layer));
    }
    ++layer;
  }
  torch::nn::Sequential made(std::move(layers));
  made->train(network->is_training());
  return made;
}

}  // namespace ferrun::ddp
