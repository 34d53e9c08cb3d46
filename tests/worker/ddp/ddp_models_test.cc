// Models and loops that were not written for DistributedDataParallel: the gradients are those of all ranks' inputs
// together, or an error says what is wrong. Nothing may be wrong in silence.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/view_as_real.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/container/functional.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <functional>

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
using torch::nn::Sequential;

std::shared_ptr<ProcessGroup> meet(const GroupAddress& address) {
  at::set_num_threads(1);
  GroupOptions options;
  options.timeout = std::chrono::seconds(180);
  return ProcessGroup::create(address, options).value();
}

at::Tensor wave(at::IntArrayRef sizes, double phase) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  return (at::arange(count, at::kDouble) * 0.7 + phase).sin().reshape(sizes).to(at::kFloat);
}

at::Tensor input(int rank) { return wave({3, 4}, 10.0 + rank); }

template <typename Module>
Module filled(Module module) {
  const at::NoGradGuard no_grad;
  double phase = 0;
  for (at::Tensor parameter : module->parameters()) parameter.copy_(wave(parameter.sizes(), phase += 1) * 0.3);
  return module;
}

Sequential layers() { return filled(Sequential(Linear(4, 5), torch::nn::Functional(at::tanh), Linear(5, 2))); }

// Two heads, of which a loss may want one.
struct PairImpl : torch::nn::Module {
  PairImpl() {
    a = register_module("a", Linear(4, 2));
    b = register_module("b", Linear(4, 2));
  }
  std::pair<at::Tensor, at::Tensor> forward(const at::Tensor& x) { return {a(x), b(x)}; }
  Linear a{nullptr}, b{nullptr};
};
TORCH_MODULE(Pair);

// `pass`, which calls backward, is of a network's forward and a rank. The networks by all ranks, one after the other,
// without DistributedDataParallel, then by this one's with it.
template <typename Module, typename Pass>
std::string differs(const std::string& what, const std::shared_ptr<ProcessGroup>& group,
                    const std::function<Module()>& make, const Pass& pass, const DdpOptions& options = {}) {
  std::vector<at::Tensor> expected;
  for (int rank = 0; rank < group->world_size(); ++rank) {
    Module alone = make();
    pass([&](const auto& x) { return alone->forward(x); }, rank);
    for (size_t i = 0; i < alone->parameters().size(); ++i) {
      const at::Tensor found = alone->parameters()[i].grad();
      const at::Tensor part = found.defined() ? found.to_dense() / group->world_size() : at::Tensor();
      if (rank == 0) {
        expected.push_back(part.defined() ? part : at::zeros_like(alone->parameters()[i]));
      } else if (part.defined()) {
        expected[i] += part;
      }
    }
  }
  Module shared = make();
  DistributedDataParallel<Module> network(shared, group, options);
  for (int step = 0; step < 3; ++step) {
    network.zero_grad();
    pass([&](const auto& x) { return network.forward(x); }, group->rank());
    for (size_t i = 0; i < expected.size(); ++i) {
      const at::Tensor found = shared->parameters()[i].grad();
      if (found.defined() ? !found.to_dense().allclose(expected[i], 1e-4, 1e-5)
                          : expected[i].any().template item<bool>()) {
        return what + ", step " + std::to_string(step) + ": parameter " + std::to_string(i) + " differs; ";
      }
    }
  }
  return "";
}

std::string compare_passes(const GroupAddress& address) {
  const auto group = meet(address);
  std::string problems;
  const std::function<Sequential()> make = layers;
  problems += differs("two forward passes, one backward", group, make, [](const auto& net, int rank) {
    (net(input(rank)).square().mean() + net(input(rank + 5)).mean()).backward();
  });
  problems += differs("a gradient penalty", group, make, [](const auto& net, int rank) {
    const at::Tensor x = input(rank).requires_grad_(true), y = net(x);
    const auto inner = torch::autograd::grad({y.sum()}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true);
    (y.square().mean() + inner[0].norm()).backward();
  });
  const std::function<Pair()> make_pair = [] { return filled(Pair()); };
  for (const bool static_graph : {false, true}) {
    DdpOptions options;
    options.find_unused_parameters = !static_graph;
    options.static_graph = static_graph;
    const std::string mode = static_graph ? " (static graph)" : " (unused parameters)";
    problems += differs(
        "a loss of one output of two" + mode, group, make_pair,
        [](const auto& net, int rank) { net(input(rank)).first.square().mean().backward(); }, options);
    problems += differs(
        "outputs changed in place" + mode, group, make,
        [](const auto& net, int rank) {
          at::Tensor y = net(input(rank));
          y.mul_(2);
          y[0].add_(1);
          y.square().mean().backward();
        },
        options);
  }
  const std::function<torch::nn::Embedding()> make_sparse = [] {
    return filled(torch::nn::Embedding(torch::nn::EmbeddingOptions(6, 4).sparse(true)));
  };
  problems += differs("sparse gradients", group, make_sparse, [](const auto& net, int rank) {
    net(at::tensor({1, 2 + rank, 3}, at::kLong)).square().mean().backward();
  });
  group->shut_down();
  return problems;
}

TEST(DdpModels, GradientsAreThoseOfAllInputs) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, compare_passes), Each(IsEmpty()));
}

// The first part of the first step stays on the rank, where a static graph is learnt.
std::string accumulate_with_static_graph(const GroupAddress& address) {
  const auto group = meet(address);
  DdpOptions options;
  options.static_graph = true;
  DistributedDataParallel<Sequential> network(layers(), group, options);
  network.register_comm_hook(allreduce_hook(group));
  std::string problems;
  for (int step = 0; step < 4; ++step) {
    network.zero_grad();
    for (int part = 0; part < 2; ++part) {
      const auto scope = network.no_sync(part == 0);
      network.forward(input(group->rank() + 5 * part)).square().mean().backward();
    }
    const at::Tensor own = network.module()->parameters()[0].grad();
    for (const at::Tensor& other : group->all_gather(own)) {
      if (!other.equal(own)) problems = "step " + std::to_string(step) + ": not reduced";
    }
  }
  group->shut_down();
  return problems;
}

TEST(DdpModels, AStaticGraphMayBeginWithoutSync) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, accumulate_with_static_graph), Each(IsEmpty()));
}

// Its zero_grad detaches gradients in place, which views do not allow.
std::string use_torch_optimizer(const GroupAddress& address) {
  const auto group = meet(address);
  std::string problems;
  for (const bool as_python : {false, true}) {  // rebuilds the buckets
    DdpOptions options;
    options.as_python = as_python;
    DistributedDataParallel<Sequential> network(layers(), group, options);
    torch::optim::SGD optimizer(network.module()->parameters(), 0.0);
    at::Tensor first;
    for (int step = 0; step < 4; ++step) {
      optimizer.zero_grad(/*set_to_none=*/step % 2 == 0);
      network.forward(input(group->rank())).square().mean().backward();
      optimizer.step();
      const at::Tensor found = network.module()->parameters()[0].grad().clone();
      if (first.defined() && !found.equal(first)) problems += "step " + std::to_string(step) + " differs; ";
      first = found;
    }
  }
  group->shut_down();
  return problems;
}

TEST(DdpModels, TorchOptimizersDropTheirGradients) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, use_torch_optimizer), Each(IsEmpty()));
}

struct BranchImpl : torch::nn::Module {
  BranchImpl() { a = register_module("a", Linear(4, 2)); }
  at::Tensor forward(const at::Tensor& x, bool with_a) { return with_a ? a(x) : x * 2; }
  Linear a{nullptr};
};
TORCH_MODULE(Branch);

std::string use_nothing_on_a_rank(const GroupAddress& address) {
  const auto group = meet(address);
  DdpOptions options;
  options.find_unused_parameters = true;
  DistributedDataParallel<Branch> network(Branch(), group, options);
  std::string problems;
  for (int step = 0; step < 3; ++step) {
    network.zero_grad();
    network.forward(at::full({1, 4}, 1.0).requires_grad_(true), group->rank() == step % 2).sum().backward();
    if (!network.module()->a->weight.grad().eq(0.5).all().item<bool>())
      problems += "step " + std::to_string(step) + "; ";
  }
  group->shut_down();
  return problems;
}

TEST(DdpModels, ARankMayUseNoParameterAtAll) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, use_nothing_on_a_rank), Each(IsEmpty()));
}

// A forward pass without a backward pass, on one rank alone, is no collective.
std::string evaluate_on_one_rank(const GroupAddress& address) {
  const auto group = meet(address);
  DistributedDataParallel<Sequential> network(layers(), group);
  for (int step = 0; step < 2; ++step) {
    network.forward(input(group->rank())).square().mean().backward();
    if (group->rank() == 0) network.forward(input(7));
    if (const Status same = group->check_same_collectives(); !same) return same.error().message;
  }
  group->shut_down();
  return "";
}

TEST(DdpModels, AnEvaluationOnOneRankIsNoCollective) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, evaluate_on_one_rank), Each(IsEmpty()));
}

// Buffers that Gloo cannot send as they are, and one that comes with the first forward pass.
struct WithBuffersImpl : torch::nn::Module {
  explicit WithBuffersImpl(int rank) {
    weight = register_parameter("weight", at::full({4}, 1.0));
    rotations = register_buffer("rotations", at::full({2, 3}, 1.0 + rank, at::kComplexFloat));
    counts = register_buffer("counts", at::full({2, 3}, 1 + rank, at::kShort));
    one = register_buffer("one", at::full({}, 1 + rank, at::kShort));
  }
  at::Tensor forward(const at::Tensor& x) {
    if (!late.defined()) late = register_buffer("late", at::full({3}, 0.0));
    return x * weight;
  }
  at::Tensor weight, rotations, counts, one, late;
};
TORCH_MODULE(WithBuffers);

std::string follow_buffers(const GroupAddress& address) {
  const auto group = meet(address);
  WithBuffers module(group->rank());
  std::vector<DistributedDataParallel<WithBuffers>> networks;  // which are moved, when there is one more
  networks.emplace_back(module, group);
  networks.front().forward(input(0)).sum().backward();
  module->late.fill_(group->rank() + 1);
  networks.emplace_back(WithBuffers(0), group);
  networks.front().zero_grad();
  networks.front().forward(input(group->rank())).sum().backward();
  std::string problems;
  for (const at::Tensor& buffer : {at::view_as_real(module->rotations), module->counts, module->one, module->late}) {
    if (!buffer.flatten()[0].eq(1).item<bool>()) problems += "not rank 0's; ";
  }
  const at::Tensor mean = (input(0) + input(1)).sum(0) / 2;
  if (!module->weight.grad().allclose(mean, 1e-4, 1e-5)) problems += "a moved network does not reduce";
  group->shut_down();
  return problems;
}

TEST(DdpModels, BuffersOfAllTypesAndLateOnesComeFromRankZero) {
  RankHarness ranks;
  EXPECT_THAT(ranks.run(2, follow_buffers), Each(IsEmpty()));
}

template <typename Act>
std::string said(const Act& act) {
  try {
    act();
  } catch (const std::exception& failure) {
    return failure.what();
  }
  return "nothing";
}

at::Tensor loss_of(DistributedDataParallel<Sequential>& network, int rank) {
  return network.forward(input(rank).to(network.module()->parameters()[0].scalar_type())).square().mean();
}

// What would leave gradients on the rank, one network for each.
std::vector<std::string> misuse(const std::shared_ptr<ProcessGroup>& group) {
  const int rank = group->rank();
  std::vector<std::string> words;
  const auto with_network = [&](const auto& act) {
    DistributedDataParallel<Sequential> network(layers(), group);
    words.push_back(said([&] { act(network); }));
  };
  with_network([&](auto& network) {
    const at::Tensor loss = loss_of(network, rank);
    loss.backward({}, /*keep_graph=*/true);
    loss.backward();
  });
  with_network([&](auto& network) {
    const at::Tensor first = loss_of(network, rank), second = loss_of(network, rank + 5);
    first.backward();
    second.backward();
  });
  with_network([&](auto& network) { loss_of(network, rank).backward({}, true, /*create_graph=*/true); });
  with_network([&](auto& network) {
    loss_of(network, rank).backward();
    network.module()->to(at::kDouble);
    loss_of(network, rank);
  });
  with_network([&](auto& network) {
    // The last layer's weights are of another type meanwhile, and the hooks are lost.
    network.module()[2]->to(at::kDouble);
    network.module()[2]->to(at::kFloat);
    loss_of(network, rank);
  });
  with_network([&](auto& network) {
    network.module()->push_back(Linear(2, 2));
    loss_of(network, rank);
  });
  with_network([&](auto& network) {
    network.module()->replace_module("0", Linear(4, 5).ptr());
    loss_of(network, rank);
  });
  Sequential partly_frozen = layers();
  partly_frozen->parameters()[1].set_requires_grad(false);
  DistributedDataParallel<Sequential> network(partly_frozen, group);
  loss_of(network, rank).backward();
  partly_frozen->parameters()[1].set_requires_grad(true);
  words.push_back(said([&] { loss_of(network, rank); }));
  return words;
}

std::string said_of_misuse(const GroupAddress& address) {
  const auto group = meet(address);
  const std::vector<std::string> words = misuse(group);
  if (const Status same = group->check_same_collectives(); !same) return same.error().message;
  group->shut_down();
  std::string text;
  for (const std::string& line : words) text += line + "\n";
  return text;
}

TEST(DdpModels, WhatWouldNotBeReducedIsRefused) {
  const std::string again = "another backward pass since the last forward pass of DistributedDataParallel";
  const std::string since = " since DistributedDataParallel was made, and its gradients would stay on the rank";
  RankHarness ranks;
  EXPECT_THAT(
      ranks.run(2, said_of_misuse),
      Each(::testing::MatchesRegex(again + ".*\n" + again + ".*\nbackward with create_graph: .*\n" +
                                   "parameter '0.weight' was given another type or device" + since + ".*\n" +
                                   "parameter '2.weight' was given another type or device" + since + ".*\n" +
                                   "parameter '3.weight' is new" + since + ".*\n" + "parameter '0.weight' is new" +
                                   since + ".*\n" + "parameter '0.bias' requires gradients only" + since + ".*\n")));
}

struct AnyImpl : torch::nn::Module {
  at::Tensor forward(const at::Tensor& x) { return x; }
};

template <typename Register>
std::string said_of(const Register& register_tensors) {
  const auto group = *ProcessGroup::create(GroupAddress(), GroupOptions());
  const auto module = std::make_shared<AnyImpl>();
  register_tensors(*module);
  return said([&] { const DistributedDataParallel<std::shared_ptr<AnyImpl>> network(module, group); });
}

TEST(DdpModels, WhatCannotBeTrainedIsRefused) {
  EXPECT_THAT(said_of([](AnyImpl&) {}), HasSubstr("no parameter of the module requires gradients"));
  EXPECT_THAT(said_of([](AnyImpl& module) { module.register_parameter("w", at::full({2}, 1.0), false); }),
              HasSubstr("no parameter of the module requires gradients"));
  EXPECT_THAT(
      said_of([](AnyImpl& module) { module.register_parameter("w", at::full({2}, 1.0).requires_grad_(true) * 0.1); }),
      HasSubstr("parameter 'w' is the result of an operation"));
  EXPECT_THAT(said_of([](AnyImpl& module) {
                module.register_parameter("w", at::full({2}, 1.0));
                module.register_buffer("b", at::full({1}, 1.0).expand({4}));
              }),
              HasSubstr("buffer 'b' has several elements in one place of memory"));
}

// Rank 1 differs where c10d, which compares the shapes of trained parameters, sees nothing.
std::string said_of_other_model(const GroupAddress& address, const std::string& what) {
  const auto group = meet(address);
  const bool other = group->rank() == 1;
  const auto module = std::make_shared<AnyImpl>();
  for (const char* name : {"a", "b"}) {
    const bool trained = what != "frozen" || (*name == 'b') == other;
    module->register_parameter(what == "names" && other ? std::string(1, 'a' + 'b' - *name) : name, at::full({2}, 1.0),
                               trained);
  }
  module->register_buffer("c", at::full({what == "buffers" && other ? 3 : 2}, 1.0));
  return said([&] { const DistributedDataParallel<std::shared_ptr<AnyImpl>> network(module, group); });
}

TEST(DdpModels, AModelThatDiffersInWhatIsNotTrainedIsNamed) {
  for (const auto& [what, words] :
       {std::pair("frozen", "rank 1: parameter 'a' requires no gradients, on rank 0 it does"),
        std::pair("names", "rank 1: parameter 'b' is where rank 0 has parameter 'a'"),
        std::pair("buffers", "rank 1: buffer 'c' has another shape or layout than on rank 0: [3], there [2]")}) {
    RankHarness ranks;
    EXPECT_EQ(ranks.run(2, [what = what](const auto& address) { return said_of_other_model(address, what); })[1],
              words);
  }
}

}  // namespace
}  // namespace ferrun::ddp
