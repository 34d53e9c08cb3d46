// PowerSGD over several buckets; its numbers against Python's are in tests/parity.
#include "worker/ddp/power_sgd.h"

#include <ATen/Parallel.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>

#include <stdexcept>

#include "tests/worker/ddp/rank_harness.h"
#include "worker/ddp/distributed_data_parallel.h"
#include "worker/ddp/replica_check.h"

namespace ferrun::ddp {
namespace {

using checkpoint::Dict;
using checkpoint::Value;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RankHarness;
using torch::nn::Linear;
using torch::nn::Sequential;

class Training {
 public:
  Training(const std::shared_ptr<ProcessGroup>& group, const PowerSgdOptions& options)
      : group_(group), power_sgd_(group, options), net_(made(), group, small_buckets()) {
    net_.register_comm_hook(power_sgd_.hook());
  }

  void step(int64_t number) {
    net_.zero_grad();
    torch::manual_seed(static_cast<uint64_t>(number * 10 + group_->rank()));
    net_.forward(at::randn({8, 16})).square().mean().backward();
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : parameters()) parameter.sub_(parameter.grad(), 0.1);
  }
  std::vector<at::Tensor> parameters() { return net_.module()->parameters(); }
  PowerSgd& power_sgd() { return power_sgd_; }
  DistributedDataParallel<Sequential>& net() { return net_; }

 private:
  static Sequential made() {
    torch::manual_seed(1);
    return Sequential(Linear(16, 16), torch::nn::Tanh(), Linear(16, 16), torch::nn::Tanh(), Linear(16, 16));
  }
  static DdpOptions small_buckets() {
    DdpOptions options;
    options.first_bucket_bytes = options.bucket_bytes = 512;  // one a layer
    return options;
  }

  std::shared_ptr<ProcessGroup> group_;
  PowerSgd power_sgd_;
  DistributedDataParallel<Sequential> net_;
};

constexpr PowerSgdOptions kOptions{.matrix_approximation_rank = 2, .start_power_sgd_iter = 2, .random_seed = 3};

// Ends with the undisturbed run's bits when the network and the state are carried over in the middle.
std::string continue_training(const GroupAddress& address, const PowerSgdOptions& options) {
  at::set_num_threads(1);
  const auto group = ProcessGroup::create(address, {}).value();
  Training whole(group, options), first(group, options), second(group, options);
  for (int64_t step = 0; step < 10; ++step) whole.step(step);
  for (int64_t step = 0; step < 6; ++step) first.step(step);
  {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> from = first.parameters(), to = second.parameters();
    for (size_t i = 0; i < to.size(); ++i) to[i].copy_(from[i]);
  }
  if (const Status loaded = second.power_sgd().load_state_dict(first.power_sgd().state_dict()); !loaded) {
    return loaded.error().message;
  }
  for (int64_t step = 6; step < 10; ++step) second.step(step);
  const std::vector<at::Tensor> expected = whole.parameters(), ours = second.parameters();
  for (size_t i = 0; i < ours.size(); ++i) {
    if (!ours[i].equal(expected[i])) return "parameter " + std::to_string(i) + " differs";
  }
  if (!ranks_that_differ(ours, *group).empty()) return "the ranks differ";
  const auto [numbers, sent] = whole.power_sgd().compression();
  if (numbers != 8 * 3 * (16 * 16 + 16) || sent * 2 > numbers) return "sent " + std::to_string(sent);
  group->shut_down();
  return "";
}

TEST(PowerSgd, GoesOnFromItsState) {
  PowerSgdOptions random = kOptions, batched = kOptions;
  random.warm_start = false;
  batched.batched = true;
  for (const PowerSgdOptions& options : {kOptions, random, batched}) {
    RankHarness ranks;
    EXPECT_THAT(ranks.run(3, [&](const auto& address) { return continue_training(address, options); }),
                Each(IsEmpty()));
  }
}

std::string train_with_few_inputs(const GroupAddress& address) {
  at::set_num_threads(1);
  const auto group = ProcessGroup::create(address, {}).value();
  Training training(group, kOptions);
  Join join = training.net().join();
  for (int64_t step = 0; step < 4 + 3 * group->rank(); ++step) training.step(step);
  join.finish();
  if (!ranks_that_differ(training.parameters(), *group).empty()) return "the ranks differ";
  group->shut_down();
  return "";
}

TEST(PowerSgd, RanksWithoutInputsSendTheirPartOfEveryBucket) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, train_with_few_inputs), Each(IsEmpty()));
}

std::string load_anothers(const GroupAddress& address) {
  at::set_num_threads(1);
  const auto group = ProcessGroup::create(address, {}).value();
  Training training(group, kOptions);
  const Value state = Dict{{"iter", 5},
                           {"seeds_drawn", 1},
                           {"error_dict", Dict{{int64_t{0}, at::full({7}, 1.0)}}},
                           {"q_memory_dict", Dict{}}};
  if (!training.power_sgd().load_state_dict(state)) return "was not loaded";
  try {
    training.step(0);
  } catch (const std::exception& failure) {
    return failure.what();
  }
  return "was taken";
}

TEST(PowerSgd, TellsWhatDoesNotFit) {
  const auto group = ProcessGroup::create(GroupAddress{}, {}).value();
  EXPECT_THROW(PowerSgd(group, {.start_power_sgd_iter = 1}), std::invalid_argument);
  EXPECT_THROW(PowerSgd(group, {.matrix_approximation_rank = 0}), std::invalid_argument);
  EXPECT_NO_THROW(PowerSgd(group, {.start_power_sgd_iter = 0, .use_error_feedback = false, .warm_start = false}));

  PowerSgd power_sgd(group);
  Dict state = *power_sgd.state_dict().get<Dict>();
  for (size_t i = 0; i < state.size(); ++i) {
    Dict damaged = state;
    damaged[i].second = "?";
    const Status loaded = power_sgd.load_state_dict(damaged);
    ASSERT_FALSE(loaded);
    EXPECT_THAT(loaded.error().message, HasSubstr(*state[i].first.get<std::string>()));
  }
  EXPECT_TRUE(power_sgd.load_state_dict(state));

  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, load_anothers), Each(HasSubstr("PowerSGD's state is of a bucket with 7 gradients")));
}

}  // namespace
}  // namespace ferrun::ddp
