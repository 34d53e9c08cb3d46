// 50 steps of our DistributedDataParallel with each feature against Python's, every pair of features together; uneven
// inputs against Python's Join; SyncBatchNorm against BatchNorm of the whole batch.
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <optional>
#include <sstream>

#include "tests/parity/peer_values.h"
#include "tests/worker/ddp/rank_harness.h"
#include "worker/checkpoint/module_state.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/distributed_data_parallel.h"
#include "worker/ddp/power_sgd.h"
#include "worker/ddp/sgd.h"
#include "worker/ddp/sync_batch_norm.h"

namespace ferrun::parity {
namespace {

using checkpoint::List;
using checkpoint::Value;
using ::testing::Each;
using ::testing::IsEmpty;

struct PairNetImpl : torch::nn::Module {
  // `group`: null for a network without a norm.
  explicit PairNetImpl(const std::shared_ptr<ddp::ProcessGroup>& group) {
    first = register_module("first", torch::nn::Linear(6, 8));
    a = register_module("a", torch::nn::Linear(8, 3));
    b = register_module("b", torch::nn::Linear(8, 3));
    if (group) norm = register_module("norm", ddp::SyncBatchNorm(torch::nn::BatchNormOptions(8), group));
  }
  std::vector<at::Tensor> forward(const at::Tensor& x, bool with_b) {
    at::Tensor hidden = first(x).tanh();
    if (!norm.is_empty()) hidden = norm(hidden);
    if (with_b) return {a(hidden), b(hidden)};
    return {a(hidden)};
  }
  torch::nn::Linear first{nullptr}, a{nullptr}, b{nullptr};
  ddp::SyncBatchNorm norm{nullptr};
};
TORCH_MODULE(PairNet);

struct Pair {
  int64_t micro_batches;
  std::string unused;
  bool static_graph, norm;
  std::string hook, optimizer;
};

Pair pair_of(const Value& row) {
  const List& items = *entry(row, "pair").get<List>();
  return {*items[0].get<int64_t>(), *items[1].get<std::string>(), *items[2].get<bool>(),
          *items[3].get<bool>(),    *items[4].get<std::string>(), *items[5].get<std::string>()};
}

std::string difference_of(const torch::nn::Module& module, const Value& expected, double bound) {
  std::ostringstream problems;
  for (const auto& [name, ours] : checkpoint::named_state(module)) {
    const double difference = relative_difference(ours, tensor(expected, name));
    if (!(difference <= bound)) problems << name << " differs by " << difference << "; ";
  }
  return problems.str();
}

void load_initial(torch::nn::Module& module, const Value& state) {
  if (const Status loaded = checkpoint::load_module_state(module, state); !loaded) {
    throw std::runtime_error(loaded.error().message);
  }
}

// The optimizers have no type in common: what a step needs of each.
std::function<void()> stepping(const std::string& name, const std::vector<at::Tensor>& parameters) {
  if (name == "adam") {
    const auto adam = std::make_shared<ddp::Adam>(parameters, ddp::AdamOptions{.lr = 1e-2});
    return [adam] { adam->step(); };
  }
  if (name == "sgd") {
    const auto sgd = std::make_shared<ddp::Sgd>(parameters, ddp::SgdOptions{.lr = 0.05, .momentum = 0.9});
    return [sgd] { sgd->step(); };
  }
  const auto sgd = std::make_shared<torch::optim::SGD>(parameters, torch::optim::SGDOptions(0.05).momentum(0.9));
  return [sgd] { sgd->step(); };
}

std::string train_pair(const std::shared_ptr<ddp::ProcessGroup>& group, const Pair& pair, const Value& record,
                       const Value& expected) {
  PairNet net(pair.norm ? group : nullptr);
  load_initial(*net, entry(record, pair.norm ? "initial_norm" : "initial"));
  if (pair.norm || pair.hook == "power_sgd") net->to(at::kDouble);
  ddp::DdpOptions options;
  options.static_graph = pair.static_graph;
  options.find_unused_parameters = pair.unused != "none" && !pair.static_graph;
  if (pair.hook != "none") {
    // Sums of short numbers depend on their order, which the buckets decide.
    options.as_python = true;
    options.bucket_bytes = 25 << 20;
  }
  ddp::DistributedDataParallel<PairNet> network(net, group, options);
  if (pair.hook == "fp16") network.register_comm_hook(ddp::fp16_compress_hook(group));
  if (pair.hook == "bf16") network.register_comm_hook(ddp::bf16_compress_hook(group));
  std::optional<ddp::PowerSgd> power_sgd;
  if (pair.hook == "power_sgd") {
    power_sgd.emplace(
        group,
        ddp::PowerSgdOptions{.matrix_approximation_rank = 1, .start_power_sgd_iter = 4, .min_compression_rate = 1.5});
    network.register_comm_hook(power_sgd->hook());
  }
  const std::function<void()> step_optimizer = stepping(pair.optimizer, net->parameters());
  const at::Tensor inputs = tensor(record, "inputs").to(net->first->weight.scalar_type());
  for (int64_t step = 0; step < inputs.size(0); ++step) {
    network.zero_grad();
    const int64_t count = step == 0 ? 1 : pair.micro_batches;
    const bool with_b = pair.unused == "none" || (pair.unused == "varying" && (step + group->rank()) % 3 != 0);
    for (int64_t micro = 0; micro < count; ++micro) {
      const auto scope = network.no_sync(micro + 1 < count);
      at::Tensor loss;
      for (const at::Tensor& output : network.forward(inputs.index({step, micro, group->rank()}), with_b)) {
        loss = loss.defined() ? loss + output.square().mean() : output.square().mean();
      }
      loss.backward();
    }
    step_optimizer();
  }
  return difference_of(*net, expected, 1e-5);
}

std::string train_unevenly(const std::shared_ptr<ddp::ProcessGroup>& group, const Value& expected,
                           const at::Tensor& inputs) {
  torch::nn::Sequential net(torch::nn::Linear(6, 5), torch::nn::BatchNorm1d(5), torch::nn::Linear(5, 2));
  load_initial(*net, entry(expected, "initial"));
  ddp::DistributedDataParallel<torch::nn::Sequential> network(net, group);
  ddp::Sgd optimizer(net->parameters(), {.lr = 0.1});
  ddp::Join join = network.join({.divide_by_initial_world_size = *entry(expected, "divide").get<bool>()});
  for (int64_t step = 0; step < 3 + 4 * group->rank(); ++step) {
    network.zero_grad();
    network.forward(inputs.index({step, 0, group->rank()})).square().mean().backward();
    optimizer.step();
  }
  join.finish();
  return difference_of(*net, entry(expected, "final"), 1e-5);
}

std::string normalize(const std::shared_ptr<ddp::ProcessGroup>& group, const Value& expected) {
  torch::nn::Sequential plain(torch::nn::BatchNorm2d(torch::nn::BatchNormOptions(3).momentum(0.2)));
  plain->to(at::kDouble);
  load_initial(*plain->children()[0], entry(expected, "initial"));
  torch::nn::Sequential net = ddp::convert_sync_batchnorm(plain, group);
  const int64_t begin = 2 * group->rank(), count = group->rank() + 1 == group->world_size() ? 3 : 2;
  const auto own = [&](const char* name) { return tensor(expected, name).narrow(0, begin, count); };
  at::Tensor x = own("input").clone().requires_grad_();
  const at::Tensor y = net->forward(x);
  (y * own("factor")).sum().backward();
  std::ostringstream problems;
  const auto compare = [&](const char* what, const at::Tensor& ours, const at::Tensor& theirs) {
    const double difference = relative_difference(ours, theirs);
    if (!(difference <= 1e-12)) problems << what << " differs by " << difference << "; ";
  };
  compare("output", y, own("output"));
  compare("input's gradient", x.grad(), own("input_gradient"));
  for (const auto& [name, key] : {std::pair("0.weight", "weight_gradient"), std::pair("0.bias", "bias_gradient")}) {
    at::Tensor gradient = net->named_parameters()[name].grad().clone();
    group->all_reduce_sum(gradient);
    compare(key, gradient, tensor(expected, key));
  }
  problems << difference_of(*net->children()[0], entry(expected, "final"), 1e-12);
  net->eval();
  plain->eval();
  if (!net->forward(x).equal(plain->forward(x))) problems << "another evaluation; ";
  return problems.str();
}

std::string repeat_all(ddp::GroupAddress address, const Value& record) {
  at::set_num_threads(1);
  address.connects_alone = true;  // a world of one reduces too
  const auto group = *ddp::ProcessGroup::create(address, {});
  std::string problems;
  for (const Value& row : *entry(record, "pairs").get<List>()) {
    const Pair pair = pair_of(row);
    // The norm's gradients come in another order than Python's, whose norm is several operations: so do the buckets lay
    // them out, and three short numbers have another sum in another order.
    if (pair.norm && pair.hook != "none" && group->world_size() > 2) continue;
    if (const std::string wrong = train_pair(group, pair, record, entry(row, "final")); !wrong.empty()) {
      problems += std::to_string(pair.micro_batches) + " " + pair.unused + " " + (pair.static_graph ? "static " : "") +
                  (pair.norm ? "norm " : "") + pair.hook + " " + pair.optimizer + ": " + wrong + "\n";
    }
  }
  for (const Value& row : *entry(record, "uneven").get<List>()) {
    const std::string wrong = train_unevenly(group, row, tensor(record, "inputs"));
    if (!wrong.empty()) problems += "uneven inputs: " + wrong + "\n";
  }
  if (const std::string wrong = normalize(group, entry(record, "norm")); !wrong.empty()) problems += "norm: " + wrong;
  group->shut_down();
  return problems;
}

class DdpFeaturesParity : public PeerValueTest {};

TEST_F(DdpFeaturesParity, TrainAsPythons) {
  run_peer("ddp_features_peer.py");
  if (IsSkipped() || HasFatalFailure()) return;
  for (const int world_size : {1, 2, 3, 4}) {
    const Value record = load("ranks" + std::to_string(world_size) + ".pt");
    testing::RankHarness ranks;
    EXPECT_THAT(ranks.run(world_size, [&](const auto& address) { return repeat_all(address, record); }),
                Each(IsEmpty()))
        << world_size << " ranks";
  }
}

}  // namespace
}  // namespace ferrun::parity
