// What DistributedDataParallel can do beyond one input and one output: outputs of any shape, hooks, errors by name.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <map>
#include <torch/csrc/distributed/c10d/comm.hpp>

#include "tests/worker/ddp/rank_harness.h"
#include "worker/ddp/distributed_data_parallel.h"

namespace ferrun::ddp {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RankHarness;
using torch::nn::Linear;

std::shared_ptr<ProcessGroup> meet_single_threaded(const GroupAddress& address) {
  at::set_num_threads(1);
  return ProcessGroup::create(address, {}).value();
}

struct Heads {
  std::tuple<at::Tensor, int> first;
  std::map<std::string, std::vector<std::optional<at::Tensor>>> others;
  template <typename Visit>
  void visit_tensors(Visit&& visit) {
    ddp::visit_tensors(first, visit);
    ddp::visit_tensors(others, visit);
  }
};

// Each head has its own layer; b's rests unless it is wanted, and so does a's.
struct TwoHeadsImpl : torch::nn::Module {
  TwoHeadsImpl() {
    a = register_module("a", Linear(2, 2));
    b = register_module("b", Linear(2, 2));
  }
  Heads forward(const at::Tensor& x, double factor, bool with_a = true, bool with_b = true) {
    Heads heads{{with_a ? a(x) * factor : at::Tensor(), 3}, {}};
    if (with_b) heads.others["b"] = {std::nullopt, b(x) * factor};
    return heads;
  }
  Linear a{nullptr}, b{nullptr};
};
TORCH_MODULE(TwoHeads);

TEST(TensorTree, FindsTheTensorsInWhateverHoldsThem) {
  const at::Tensor one = at::full({1}, 1.0);
  Heads heads{{one, 2}, {{"x", {one, std::nullopt}}, {"y", {one}}}};
  std::pair<std::string, std::array<at::Tensor, 2>> pair{"z", {one, at::Tensor()}};
  int found = 0;
  visit_tensors(heads, [&](at::Tensor&) { ++found; });
  visit_tensors(pair, [&](at::Tensor&) { ++found; });
  EXPECT_EQ(found, 5);
}

// Of the rank's factor 1 + rank and an input of ones, each weight's gradient is the factor; the average is of all
// ranks.
std::string gradients_of_heads(const GroupAddress& address, bool static_graph) {
  const auto group = meet_single_threaded(address);
  DdpOptions options;
  options.find_unused_parameters = !static_graph;
  options.static_graph = static_graph;
  DistributedDataParallel<TwoHeads> net(TwoHeads(), group, options);
  for (int step = 0; step < 3; ++step) {
    net.zero_grad();
    // Without a static graph one head rests after the first step, another one on each rank in the last.
    const bool both = static_graph || step == 0;
    const bool second = step == 1 || group->rank() == 1;
    const Heads heads = net.forward(at::full({1, 2}, 1.0), 1.0 + group->rank(), both || !second, both || second);
    std::vector<at::Tensor> sums;
    if (both || !second) sums.push_back(std::get<0>(heads.first).sum());
    if (both || second) sums.push_back(heads.others.at("b").at(1)->sum());
    at::stack(sums).sum().backward();
    const double a = both ? 1.5 : step == 1 ? 0 : 0.5, b = both ? 1.5 : step == 1 ? 1.5 : 1;
    for (const auto& [layer, expected] : {std::pair(net.module()->a, a), std::pair(net.module()->b, b)}) {
      const at::Tensor found = layer->weight.grad();
      if (expected == 0 ? found.defined() && found.count_nonzero().item<int64_t>() != 0
                        : !found.eq(expected).all().item<bool>()) {
        return "step " + std::to_string(step) + ", expected " + std::to_string(expected);
      }
    }
  }
  group->shut_down();
  return "";
}

TEST(DdpFeatures, OutputsMayBeTuplesMapsAndStructs) {
  for (const bool static_graph : {false, true}) {
    RankHarness ranks;
    EXPECT_THAT(ranks.run(2, [=](const auto& address) { return gradients_of_heads(address, static_graph); }),
                Each(IsEmpty()))
        << static_graph;
  }
}

std::string said_of_unused(const GroupAddress& address) {
  const auto group = meet_single_threaded(address);
  DistributedDataParallel<TwoHeads> net(TwoHeads(), group);
  try {
    for (int step = 0; step < 2; ++step) std::get<0>(net.forward(at::full({1, 2}, 1.0), 1.0).first).sum().backward();
  } catch (const std::exception& failure) {
    return group->explain(failure).message;
  }
  return "not noticed";
}

TEST(DdpFeatures, AParameterWithoutAGradientIsNamed) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, said_of_unused),
              Each(HasSubstr("the last backward pass gave no gradient to 'b.weight', 'b.bias': set "
                             "find_unused_parameters")));
}

std::string said_of_other_models(const GroupAddress& address, bool fewer) {
  const auto group = meet_single_threaded(address);
  torch::nn::Sequential net(Linear(2, 3), Linear(3, address.rank == 0 ? 3 : 4));
  if (fewer && address.rank == 1) net = torch::nn::Sequential(Linear(2, 3));
  try {
    const DistributedDataParallel<torch::nn::Sequential> made(net, group);
  } catch (const std::exception& failure) {
    return group->explain(failure).message;
  }
  return "not noticed";
}

TEST(DdpFeatures, AParameterOfAnotherShapeIsNamed) {
  RankHarness shapes, numbers;
  EXPECT_THAT(shapes.run(2, [](const auto& address) { return said_of_other_models(address, false); })[1],
              HasSubstr("rank 1: parameter '1.weight' has another shape or layout than on rank 0"));
  EXPECT_THAT(numbers.run(2, [](const auto& address) { return said_of_other_models(address, true); })[1],
              HasSubstr("the ranks' models differ: rank 1's has 2 parameters, the last of them '0.bias'"));
}

// Sends the sign alone, and counts.
class SignHook : public c10d::CommHookInterface {
 public:
  explicit SignHook(std::shared_ptr<ProcessGroup> group) : group_(std::move(group)) {}
  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket& bucket) override {
    ++buckets;
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> signs{bucket.getBuffer().sign()};
    return group_->c10d_group()->allreduce(signs)->getFuture();
  }
  at::Tensor parseHookResult(const c10::IValue& result) override { return result.toTensorVector()[0]; }
  int buckets = 0;

 private:
  std::shared_ptr<ProcessGroup> group_;
};

std::string use_hooks(const GroupAddress& address) {
  const auto group = meet_single_threaded(address);
  const auto gradient_with = [&](const CommHook& hook, DdpOptions options) {
    DistributedDataParallel<Linear> net(Linear(3, 1), group, options);
    net.register_comm_hook(hook);
    for (int step = 0; step < 2; ++step) {
      net.zero_grad();
      net.forward(at::full({1, 3}, 1 + (1 + group->rank()) / 1024.0)).sum().backward();
    }
    return net.module()->weight.grad().max().item<double>();
  };
  DdpOptions small;
  small.first_bucket_bytes = small.bucket_bytes = 1;
  const auto sign = std::make_shared<SignHook>(group);
  if (gradient_with(sign, small) != group->world_size()) return "wrong sum of signs";
  if (sign->buckets != 4) return "the hook ran for " + std::to_string(sign->buckets) + " buckets";
  // Exact is 1 + 3/2048; half has ten bits behind the point, bfloat16 seven: each says what travelled.
  if (gradient_with(allreduce_hook(group), {}) != 1 + 1.5 / 1024) return "allreduce_hook";
  const double half = gradient_with(fp16_compress_hook(group), {});
  if (half == 1 + 1.5 / 1024 || std::abs(half - (1 + 1.5 / 1024)) > 1.0 / 1024) return "fp16_compress_hook";
  if (gradient_with(bf16_compress_hook(group), {}) != 1) return "bf16_compress_hook";
  DistributedDataParallel<Linear> twice(Linear(3, 1), group, {});
  twice.register_comm_hook(sign);
  for (const CommHook& refused : {CommHook(sign), CommHook()}) {
    try {
      twice.register_comm_hook(refused);
      return "a second hook was taken, or none";
    } catch (const std::invalid_argument&) {
    }
  }
  group->shut_down();
  return "";
}

TEST(DdpFeatures, HooksDecideHowGradientsTravel) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, use_hooks), Each(IsEmpty()));
}

// Rank r has 2 + 2 × r inputs of ones and takes steps of SGD at a rate of 1: each gradient is 1.
std::string train_unevenly(const GroupAddress& address, bool divide_by_initial_world_size) {
  const auto group = meet_single_threaded(address);
  Linear weight(torch::nn::LinearOptions(1, 1).bias(false));
  {
    const at::NoGradGuard no_grad;
    weight->weight.zero_();
  }
  DistributedDataParallel<Linear> net(weight, group);
  Join join = net.join({.divide_by_initial_world_size = divide_by_initial_world_size});
  for (int step = 0; step < 2 + 2 * group->rank(); ++step) {
    // Of the second step's halves the first stays on the rank.
    for (int half = 0; half < 2; ++half) {
      const auto scope = net.no_sync(half == 0);
      net.forward(at::full({1, 1}, 0.5)).sum().backward();
    }
    const at::NoGradGuard no_grad;
    weight->weight.sub_(weight->weight.grad());
    net.zero_grad();
  }
  join.finish();
  // Two steps of three ranks, two of two, two of one.
  const double whole = 2 * (3 + 2 + 1), expected = divide_by_initial_world_size ? whole / 3 : 6;
  const double found = -weight->weight.item<double>();
  const Status same = group->check_same_collectives();
  group->shut_down();
  if (!same) return same.error().message;
  return std::abs(found - expected) < 1e-5 ? "" : "ends at " + std::to_string(found);
}

TEST(Join, RanksWithoutInputsTakePartUntilAllAreDone) {
  for (const bool divide_by_initial_world_size : {true, false}) {
    RankHarness ranks;
    EXPECT_THAT(
        ranks.run(3, [=](const auto& address) { return train_unevenly(address, divide_by_initial_world_size); }),
        Each(IsEmpty()))
        << divide_by_initial_world_size;
  }
}

TEST(Join, EndsOnEveryRankAtTheFirstThatIsDone) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2,
                        [](const GroupAddress& address) {
                          const auto group = meet_single_threaded(address);
                          DistributedDataParallel<Linear> net(Linear(1, 1), group);
                          Join join = net.join({.throw_on_early_termination = true});
                          try {
                            for (int step = 0; step < 2 + group->rank(); ++step) {
                              net.forward(at::full({1, 1}, 1.0)).sum().backward();
                            }
                            join.finish();
                          } catch (const std::exception& failure) {
                            return group->explain(failure).message;
                          }
                          return std::string("went on");
                        }),
              Each(HasSubstr("a rank has no more inputs, and 1 of 2 ranks have")));
}

}  // namespace
}  // namespace ferrun::ddp
