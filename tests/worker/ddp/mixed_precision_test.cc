// Parameters that are of a short type between forward and the end of backward; numbers against Python's are in
// tests/parity.
#include "worker/ddp/mixed_precision.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <stdexcept>

#include "tests/worker/ddp/rank_harness.h"
#include "worker/ddp/comm_hooks.h"
#include "worker/ddp/distributed_data_parallel.h"

namespace ferrun::ddp {
namespace {

using ::testing::Each;
using ::testing::IsEmpty;
using testing::RankHarness;
using torch::nn::Linear;

constexpr double kNotShort = 1.001;  // 1 in bfloat16

DdpOptions in_bfloat16() {
  DdpOptions options;
  options.first_bucket_bytes = options.bucket_bytes = 64;
  options.mixed_precision = MixedPrecision{at::kBFloat16, at::kFloat, {}};
  return options;
}

struct TakesAllImpl : torch::nn::Module {
  TakesAllImpl() {
    first = register_module("first", Linear(2, 2));
    second = register_module("second", Linear(2, 2));
    norm = register_module("norm", torch::nn::BatchNorm1d(2));
  }
  at::Tensor forward(const std::vector<at::Tensor>& x, const at::Tensor& indices, std::unique_ptr<int> number) {
    seen = first->weight.scalar_type();
    counted = indices.scalar_type();
    return second(first(x.at(0))) * *number;
  }
  Linear first{nullptr}, second{nullptr};
  torch::nn::BatchNorm1d norm{nullptr};
  c10::ScalarType seen{}, counted{};
};
TORCH_MODULE(TakesAll);

std::string pass_in_bfloat16(GroupAddress address) {
  at::set_num_threads(1);
  const auto group = ProcessGroup::create(address, {}).value();
  TakesAll module;
  {
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : module->parameters()) parameter.fill_(kNotShort);
  }
  for (at::Tensor& parameter : module->norm->parameters()) parameter.requires_grad_(false);
  DistributedDataParallel<TakesAll> net(module, group, in_bfloat16());
  const auto forward = [&](double value) {
    return net.forward(std::vector<at::Tensor>{at::full({1, 2}, value)}, at::ones({1}, at::kLong),
                       std::make_unique<int>(1 + group->rank()));
  };
  const auto own = [&] {
    for (const at::Tensor& parameter : module->parameters()) {
      if (parameter.scalar_type() != at::kFloat || parameter.flatten()[0].item<float>() != float(kNotShort))
        return false;
      if (parameter.grad().defined() && parameter.grad().scalar_type() != at::kFloat) return false;
    }
    return true;
  };
  const auto bias_gradient = [&] { return module->second->bias.grad()[0].item<double>(); };
  double average = 0;
  for (int rank = 0; rank < group->world_size(); ++rank) average += (1.0 + rank) / group->world_size();

  for (int step = 0; step < 3; ++step) {  // the first as well
    net.zero_grad();
    const at::Tensor y = forward(1);
    if (y.scalar_type() != at::kBFloat16 || module->seen != at::kBFloat16) return "nothing is short";
    if (module->counted != at::kLong) return "whole numbers were cast";
    y.to(at::kFloat).sum().backward();
    if (!own()) return "the parameters are not their own after backward";
    if (bias_gradient() != average) return "the average is " + std::to_string(bias_gradient());
  }
  net.zero_grad();
  for (const bool local : {true, true, false}) {
    const auto scope = net.no_sync(local);
    forward(1).to(at::kFloat).sum().backward();
    if (!own()) return "the parameters are not their own after a micro batch";
    if (local && bias_gradient() == average && group->world_size() > 1) return "a micro batch was reduced";
  }
  if (bias_gradient() != 3 * average) return "the sum is " + std::to_string(bias_gradient());
  {
    const at::NoGradGuard no_grad;
    if (forward(1).scalar_type() != at::kBFloat16) return "an evaluation is not short";
    if (!own()) return "the parameters are not their own after an evaluation";
  }
  static_cast<void>(forward(1));  // whose backward pass never comes
  net.zero_grad();
  forward(1).to(at::kFloat).sum().backward();
  if (!own() || bias_gradient() != average) return "a forward pass that was given up disturbs the next";
  group->shut_down();
  return "";
}

TEST(MixedPrecisionParameters, AreShortInThePassesAndTheirOwnForTheOptimizer) {
  for (const int world_size : {1, 2}) {
    RankHarness ranks;
    EXPECT_THAT(ranks.run(world_size, pass_in_bfloat16), Each(IsEmpty())) << world_size;
  }
}

TEST(MixedPrecisionParameters, OfBuffersCastThoseOfFloatingPoint) {
  const auto group = ProcessGroup::create(GroupAddress{}, {}).value();
  torch::nn::Sequential norm{torch::nn::BatchNorm1d(2)};
  DdpOptions options = in_bfloat16();
  options.mixed_precision->buffer_dtype = at::kHalf;
  const DistributedDataParallel<torch::nn::Sequential> net(norm, group, options);
  EXPECT_EQ(norm->named_buffers()["0.running_mean"].scalar_type(), at::kHalf);
  EXPECT_EQ(norm->named_buffers()["0.num_batches_tracked"].scalar_type(), at::kLong);
}

TEST(MixedPrecisionParameters, RefuseWhatTheyCannotBeTogetherWith) {
  const auto group = ProcessGroup::create(GroupAddress{}, {}).value();
  const auto make = [&](auto change) {
    DdpOptions options = in_bfloat16();
    change(options);
    DistributedDataParallel<Linear>(Linear(2, 2), group, options).register_comm_hook(allreduce_hook(group));
  };
  EXPECT_THROW(make([](DdpOptions& options) { options.static_graph = true; }), std::invalid_argument);
  EXPECT_THROW(make([](DdpOptions& options) { options.find_unused_parameters = true; }), std::invalid_argument);
  EXPECT_THROW(make([](DdpOptions& options) { options.mixed_precision->param_dtype = at::kInt; }),
               std::invalid_argument);
  EXPECT_THROW(make([](DdpOptions&) {}), std::invalid_argument);  // the hook
  EXPECT_NO_THROW(make([](DdpOptions& options) { options.mixed_precision.reset(); }));
}

}  // namespace
}  // namespace ferrun::ddp
