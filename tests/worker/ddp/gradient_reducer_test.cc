// What the Reducer keeps over a long run, and whether a run that starts over in the middle reduces as before.
#include "worker/ddp/gradient_reducer.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <torch/nn/modules/linear.h>

#include "tests/worker/ddp/rank_harness.h"
#include "worker/ddp/distributed_data_parallel.h"

namespace ferrun::ddp {
namespace {

using ferrun::testing::RankHarness;
using ::testing::Each;
using ::testing::IsEmpty;

std::shared_ptr<ProcessGroup> join_single_threaded(const GroupAddress& address) {
  at::set_num_threads(1);
  return *ProcessGroup::create(address, GroupOptions());
}

struct ManyParametersImpl : torch::nn::Module {
  explicit ManyParametersImpl(int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      weights.push_back(register_parameter("weight" + std::to_string(i), at::full({2}, 1.0, at::kFloat)));
    }
  }
  at::Tensor forward() { return at::cat(weights); }
  std::vector<at::Tensor> weights;
};
TORCH_MODULE(ManyParameters);

size_t bytes_in_use() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// The Reducer's notes of the gradients that came, were they kept, would be at least 16 bytes × 256 × 600 = 2.4 MB.
// c10d itself takes about 700 bytes in each of the first 2,000 steps, and none after them.
std::string train_for_long(const GroupAddress& address) {
  constexpr int kSettled = 100, kSteps = 700;
  constexpr size_t kAllowedBytes = 3 << 19;
  const auto group = join_single_threaded(address);
  ManyParameters net(256);
  DistributedDataParallel<ManyParameters> network(net, group);
  size_t settled = 0;
  for (int step = 0; step < kSteps; ++step) {
    if (step == kSettled) settled = bytes_in_use();
    network.zero_grad();
    network.forward().sum().backward();
  }
  const size_t now = bytes_in_use();
  group->shut_down();
  return now <= settled + kAllowedBytes ? "" : "grew by " + std::to_string(now - settled) + " bytes";
}

TEST(GradientReducer, KeepsNothingOfThePastSteps) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, train_for_long), Each(IsEmpty()));
}

struct LayersImpl : torch::nn::Module {
  LayersImpl() {
    for (int i = 0; i < kLayers; ++i) {
      layers.push_back(register_module("layer" + std::to_string(i), torch::nn::Linear(kWidth, kWidth)));
    }
  }
  at::Tensor forward(at::Tensor x) {
    for (torch::nn::Linear& layer : layers) x = layer(x).tanh();
    return x;
  }
  static constexpr int kLayers = 6;
  static constexpr int64_t kWidth = 24;
  std::vector<torch::nn::Linear> layers;
};
TORCH_MODULE(Layers);

DdpOptions several_buckets() {
  DdpOptions options;
  options.first_bucket_bytes = 3000;
  options.bucket_bytes = 6000;
  return options;
}

void take_steps(DistributedDataParallel<Layers>& network, const ProcessGroup& group, int begin, int end) {
  for (int step = begin; step < end; ++step) {
    at::manual_seed(static_cast<uint64_t>(step * group.world_size() + group.rank()));
    network.zero_grad();
    network.forward(at::randn({5, LayersImpl::kWidth})).square().mean().backward();
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : network.module()->parameters()) parameter.sub_(parameter.grad(), 0.3);
  }
}

// Three ranks' sums depend on where in its bucket a gradient lies, and x / 3 is not x × (1 / 3).
std::string start_over_in_the_middle(const GroupAddress& address) {
  const auto group = join_single_threaded(address);
  at::manual_seed(1);
  Layers undisturbed, resumed;
  {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < resumed->parameters().size(); ++i) {
      resumed->parameters()[i].copy_(undisturbed->parameters()[i]);
    }
  }
  DistributedDataParallel<Layers> whole(undisturbed, group, several_buckets());
  take_steps(whole, *group, 0, 8);
  {
    DistributedDataParallel<Layers> first_part(resumed, group, several_buckets());
    take_steps(first_part, *group, 0, 3);
    first_part.zero_grad();
  }
  DistributedDataParallel<Layers> second_part(resumed, group, several_buckets());
  take_steps(second_part, *group, 3, 8);
  group->shut_down();
  for (size_t i = 0; i < resumed->parameters().size(); ++i) {
    if (!resumed->parameters()[i].equal(undisturbed->parameters()[i])) {
      return "parameter " + std::to_string(i) + " differs";
    }
  }
  return "";
}

TEST(GradientReducer, AResumedRunEndsWithTheUndisturbedOnesBits) {
  for (const int world_size : {2, 3}) {
    RankHarness ranks;
    EXPECT_THAT(ranks.run(world_size, start_over_in_the_middle), Each(IsEmpty())) << world_size << " ranks";
  }
}

struct WithLargeLayerImpl : LayersImpl {
  WithLargeLayerImpl() { large = register_parameter("large", at::full({1 << 18}, 1.0, at::kFloat)); }
  at::Tensor forward(const at::Tensor& x) { return LayersImpl::forward(x) + large.sum() * 0.0; }
  at::Tensor large;
};
TORCH_MODULE(WithLargeLayer);

template <typename Net>
std::vector<at::Tensor> gradients_of(const std::shared_ptr<ProcessGroup>& group) {
  DdpOptions options;
  options.first_bucket_bytes = options.bucket_bytes = 1;  // a bucket for each parameter, whatever the others are
  at::manual_seed(1);
  Net net;
  DistributedDataParallel<Net> network(net, group, options);
  at::manual_seed(static_cast<uint64_t>(2 + group->rank()));
  network.forward(at::randn({5, LayersImpl::kWidth})).square().mean().backward();
  std::vector<at::Tensor> gradients;
  for (const auto& layer : net->layers) {
    for (const at::Tensor& parameter : layer->parameters()) gradients.push_back(parameter.grad());
  }
  return gradients;
}

// Small gradients are averaged by the bucket, large ones by the Reducer while it copies them.
std::string average_both_ways(const GroupAddress& address) {
  const auto group = join_single_threaded(address);
  const std::vector<at::Tensor> by_bucket = gradients_of<Layers>(group);
  const std::vector<at::Tensor> by_gradient = gradients_of<WithLargeLayer>(group);
  group->shut_down();
  for (size_t i = 0; i < by_bucket.size(); ++i) {
    if (!by_bucket[i].equal(by_gradient[i])) return "gradient " + std::to_string(i) + " differs";
    if (by_bucket[i].count_nonzero().item<int64_t>() == 0) return "gradient " + std::to_string(i) + " is zero";
  }
  return "";
}

TEST(GradientReducer, SmallAndLargeGradientsAreAveragedToTheSameBits) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(3, average_both_ways), Each(IsEmpty()));
}

// One rank's average is its own gradient, x / 1: with a backend and the Reducer it comes to the numbers that it has
// without.
std::string train_alone_both_ways(const GroupAddress& address) {
  GroupAddress connected = address;
  connected.connects_alone = true;
  std::vector<std::vector<at::Tensor>> ends;
  for (const GroupAddress& way : {address, connected}) {
    const auto group = join_single_threaded(way);
    if ((group->c10d_group().get() != nullptr) != way.connects_alone) return "a backend where none is wanted, or none";
    at::manual_seed(1);
    Layers net;
    DistributedDataParallel<Layers> network(net, group, several_buckets());
    take_steps(network, *group, 0, 8);
    at::Tensor sum = at::full({2}, 3.0);
    group->all_reduce_sum(sum);
    if (!sum.equal(at::full({2}, 3.0)) || group->all_gather(sum).size() != 1) return "a collective is no identity";
    if (const Status same = group->check_same_collectives(); !same) return same.error().message;
    group->shut_down();
    ends.push_back(net->parameters());
  }
  for (size_t i = 0; i < ends[0].size(); ++i) {
    if (!ends[0][i].equal(ends[1][i])) return "parameter " + std::to_string(i) + " differs";
  }
  return "";
}

TEST(GradientReducer, OfOneRankComesToTheNumbersOfNone) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(1, train_alone_both_ways), Each(IsEmpty()));
}

}  // namespace
}  // namespace ferrun::ddp
