#include "worker/ddp/distributed_data_parallel.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <sstream>

#include "tests/worker/ddp/rank_harness.h"
#include "worker/model/emotion_net.h"

namespace ferrun::ddp {
namespace {

using ::testing::Each;
using ::testing::IsEmpty;
using testing::RankHarness;

constexpr int64_t kSamples = 12;  // divisible by 2, 3 and 4 ranks
constexpr int64_t kClasses = 7;

std::shared_ptr<ProcessGroup> join(const GroupAddress& address) {
  at::set_num_threads(1);
  auto group = ProcessGroup::create(address, GroupOptions());
  if (!group) {
    throw std::runtime_error(group.error().message);
  }
  return *group;
}

struct Sample {
  at::Tensor inputs;
  at::Tensor targets;
};

// The same on every rank.
Sample samples(at::ScalarType type) {
  at::manual_seed(11);
  return {at::randn({kSamples, 3, 32, 32}, type), at::randint(0, kClasses, {kSamples}, at::kLong)};
}

Sample shard(const Sample& all, const ProcessGroup& group) {
  const int64_t size = kSamples / group.world_size();
  return {all.inputs.narrow(0, group.rank() * size, size), all.targets.narrow(0, group.rank() * size, size)};
}

// In evaluation mode with statistics that fit the inputs: with the initial ones all logits are nearly the same.
model::EmotionNet settled_model(uint64_t seed, const at::Tensor& inputs) {
  at::manual_seed(seed);
  model::EmotionNet net(kClasses);
  net->to(at::kDouble);
  const at::NoGradGuard no_grad;
  for (int i = 0; i < 20; ++i) {
    net->forward(inputs);
  }
  net->eval();
  return net;
}

std::vector<at::Tensor> gradients(const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& parameter : parameters) {
    result.push_back(parameter.grad().clone());
  }
  return result;
}

std::string equal_on_all_ranks(ProcessGroup& group, const std::vector<at::Tensor>& tensors) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    for (const at::Tensor& other : group.all_gather(tensors[i].contiguous())) {
      if (!other.equal(tensors[i])) return "tensor " + std::to_string(i) + " differs between the ranks";
    }
  }
  return "";
}

std::string compare_with_full_batch(const GroupAddress& address) {
  const auto group = join(address);
  const Sample all = samples(at::kDouble);
  model::EmotionNet alone = settled_model(5, all.inputs);
  at::cross_entropy_loss(alone->forward(all.inputs), all.targets).backward();
  const std::vector<at::Tensor> expected = gradients(alone->parameters());

  model::EmotionNet sharded = group->rank() == 0 ? alone : model::EmotionNet(kClasses);  // rank 0's weights must win
  sharded->to(at::kDouble);
  sharded->eval();
  DistributedDataParallel<model::EmotionNet> network(sharded, group);
  std::ostringstream problems;
  for (int step = 0; step < 2; ++step) {  // the second step reuses the buckets
    network.zero_grad();
    const Sample own = shard(all, *group);
    at::cross_entropy_loss(network.forward(own.inputs), own.targets).backward();
    const std::vector<at::Tensor> found = gradients(sharded->parameters());
    for (size_t i = 0; i < found.size(); ++i) {
      const double difference = (found[i] - expected[i]).norm().item<double>();
      const double norm = expected[i].norm().item<double>();
      if (!(difference <= 1e-10 * norm) || norm == 0) {
        problems << "parameter " << i << ": differs by " << difference << " of " << norm << "; ";
      }
    }
    problems << equal_on_all_ranks(*group, found);
  }
  group->shut_down();
  return problems.str();
}

TEST(DistributedDataParallel, GivesTheFullBatchGradient) {
  for (const int world_size : {2, 3, 4}) {
    RankHarness ranks;
    EXPECT_THAT(ranks.run(world_size, compare_with_full_batch), Each(IsEmpty())) << world_size << " ranks";
  }
}

// BatchNorm's statistics differ between the ranks in training mode; the gradients must not.
std::string train_in_step(const GroupAddress& address) {
  const auto group = join(address);
  at::manual_seed(1);
  model::EmotionNet net(kClasses);
  DistributedDataParallel<model::EmotionNet> network(net, group);
  const Sample own = shard(samples(at::kFloat), *group);
  for (int step = 0; step < 3; ++step) {
    network.zero_grad();
    at::cross_entropy_loss(network.forward(own.inputs), own.targets).backward();
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : net->parameters()) {
      parameter.sub_(parameter.grad(), 0.01);
    }
  }
  std::string problem =
      equal_on_all_ranks(*group, gradients(net->parameters())) + equal_on_all_ranks(*group, net->parameters());
  network.broadcast_buffers();
  problem += equal_on_all_ranks(*group, net->buffers());
  group->shut_down();
  return problem;
}

TEST(DistributedDataParallel, KeepsTheRanksEqual) {
  for (const int world_size : {2, 3}) {
    RankHarness ranks;
    EXPECT_THAT(ranks.run(world_size, train_in_step), Each(IsEmpty()));
  }
}

struct TwoPathsImpl : torch::nn::Module {
  TwoPathsImpl()
      : left(register_module("left", torch::nn::Linear(4, 2))),
        right(register_module("right", torch::nn::Linear(4, 2))) {}
  at::Tensor forward(const at::Tensor& x, bool take_left) { return take_left ? left(x) : right(x); }
  torch::nn::Linear left;
  torch::nn::Linear right;
};
TORCH_MODULE(TwoPaths);

std::string accumulate_without_sync(const GroupAddress& address) {
  const auto group = join(address);
  TwoPaths net;
  DdpOptions options;
  options.find_unused_parameters = true;
  DistributedDataParallel<TwoPaths> network(net, group, options);
  const at::Tensor x = at::full({1, 4}, double(group->rank() + 1), at::kFloat);
  {
    const auto scope = network.no_sync();
    network.forward(x, true).sum().backward();
  }
  if (net->left->weight.grad()[0][0].item<float>() != float(group->rank() + 1)) return "a local gradient was reduced";
  network.forward(x, true).sum().backward();
  // Each rank r has 2 (r + 1) after two passes; their mean over W ranks is W + 1.
  const float mean = float(group->world_size() + 1);
  if (net->left->weight.grad()[0][0].item<float>() != mean) return "the accumulated gradient is not the ranks' mean";
  group->shut_down();
  return "";
}

TEST(DistributedDataParallel, AccumulatesWithoutSync) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, accumulate_without_sync), Each(IsEmpty()));
}

std::string take_different_paths(const GroupAddress& address) {
  const auto group = join(address);
  TwoPaths net;
  DdpOptions options;
  options.find_unused_parameters = true;
  DistributedDataParallel<TwoPaths> network(net, group, options);
  for (int step = 0; step < 3; ++step) {
    network.zero_grad();
    network.forward(at::full({1, 4}, 1.0, at::kFloat), group->rank() == 0).sum().backward();
    for (const at::Tensor& weight : {net->left->weight, net->right->weight}) {
      if (weight.grad()[0][0].item<float>() != 0.5F) return "a path of one rank was not averaged with the other's zero";
    }
  }
  group->shut_down();
  return "";
}

TEST(DistributedDataParallel, AveragesParametersThatSomeRanksDoNotUse) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, take_different_paths), Each(IsEmpty()));
}

std::string differ_in_shape(const GroupAddress& address) {
  const auto group = join(address);
  try {
    const DistributedDataParallel<torch::nn::Linear> network(torch::nn::Linear(4, 2 + group->rank()), group);
  } catch (const std::exception& failure) {
    return group->explain(failure).message;
  }
  return "accepted";
}

TEST(DistributedDataParallel, RefusesModelsThatDiffer) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, differ_in_shape),
              ::testing::Contains(::testing::HasSubstr("rank 1: parameter 'weight' has another shape or layout")));
}

// Types of one size too, whose bytes would be taken for each other's numbers.
std::string differ_in_type(const GroupAddress& address) {
  const auto group = join(address);
  torch::nn::Sequential net{torch::nn::Linear(4, 2), torch::nn::BatchNorm1d(2)};
  if (group->rank() == 0) net[0]->to(at::kHalf);
  if (group->rank() == 1) net[0]->to(at::kBFloat16);
  if (group->rank() == 2) {
    net[0]->to(at::kHalf);
    net[1]->to(at::kDouble);
  }
  try {
    const DistributedDataParallel<torch::nn::Sequential> network(net, group);
  } catch (const std::exception& failure) {
    return group->explain(failure).message;
  }
  return "accepted";
}

TEST(DistributedDataParallel, RefusesModelsOfOtherTypes) {
  RankHarness ranks;
  const std::vector<std::string> said = ranks.run(3, differ_in_type);
  EXPECT_THAT(said[1], ::testing::HasSubstr("rank 1: parameter '0.weight' is of type BFloat16, on rank 0 of Half"));
  EXPECT_THAT(said[2], ::testing::HasSubstr("rank 2: parameter '1.weight' is of type Double, on rank 0 of Float"));
  EXPECT_NE(said[0], "accepted");
}

TEST(DistributedDataParallel, IsTheModuleItselfInAWorldOfOne) {
  const auto group = *ProcessGroup::create(GroupAddress(), GroupOptions());
  torch::nn::Linear linear(4, 2);
  DistributedDataParallel<torch::nn::Linear> network(linear, group);
  network.forward(at::full({1, 4}, 1.0, at::kFloat)).sum().backward();
  EXPECT_EQ(linear->weight.grad()[0][0].item<float>(), 1.0F);
  network.zero_grad();
  EXPECT_FALSE(linear->weight.grad().defined());
}

}  // namespace
}  // namespace ferrun::ddp
