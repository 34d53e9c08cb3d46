// 50 steps of one to four ranks whose gradients travel by PowerSGD, against Python's hook. In float64: what float32
// rounds otherwise, the next step's matrices begin with. The same with parameters of a short type, against
// mixed_precision.
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <sstream>

#include "tests/parity/peer_values.h"
#include "tests/worker/ddp/rank_harness.h"
#include "worker/checkpoint/module_state.h"
#include "worker/ddp/distributed_data_parallel.h"
#include "worker/ddp/power_sgd.h"
#include "worker/ddp/sgd.h"

namespace ferrun::parity {
namespace {

using checkpoint::List;
using checkpoint::Value;
using ::testing::Each;
using ::testing::IsEmpty;

double number_in(const Value& value) {
  const int64_t* const whole = value.get<int64_t>();
  return whole != nullptr ? static_cast<double>(*whole) : *value.get<double>();
}

ddp::PowerSgdOptions power_sgd_options(const Value& row) {
  const List& items = *entry(row, "row").get<List>();
  ddp::PowerSgdOptions options;
  options.matrix_approximation_rank = *items[0].get<int64_t>();
  options.start_power_sgd_iter = *items[1].get<int64_t>();
  options.min_compression_rate = number_in(items[2]);
  options.use_error_feedback = *items[3].get<bool>();
  options.warm_start = *items[4].get<bool>();
  options.orthogonalization_epsilon = number_in(items[5]);
  options.random_seed = static_cast<uint32_t>(*items[6].get<int64_t>());
  options.batched = *items[7].get<bool>();
  return options;
}

torch::nn::Sequential new_convolutional_net() {
  using torch::nn::Linear;
  return torch::nn::Sequential(torch::nn::Conv1d(torch::nn::Conv1dOptions(3, 12, 5)), torch::nn::Tanh(),
                               torch::nn::Flatten(), Linear(96, 24), torch::nn::Tanh(), Linear(24, 24),
                               torch::nn::Tanh(), Linear(24, 4));
}

std::string train_by_power_sgd(const std::shared_ptr<ddp::ProcessGroup>& group, const Value& record, const Value& row) {
  torch::nn::Sequential net = new_convolutional_net();
  const at::Tensor inputs = tensor(record, "inputs");
  net->to(inputs.scalar_type());
  if (const Status loaded = checkpoint::load_module_state(*net, entry(record, "initial")); !loaded) {
    return loaded.error().message;
  }
  ddp::DdpOptions options;
  options.as_python = true;  // buckets decide which random numbers a matrix begins with
  options.bucket_bytes = 25 << 20;
  ddp::DistributedDataParallel<torch::nn::Sequential> network(net, group, options);
  const ddp::PowerSgd power_sgd(group, power_sgd_options(row));
  network.register_comm_hook(power_sgd.hook());
  ddp::Sgd optimizer(net->parameters(), {.lr = 0.05, .momentum = 0.9});
  for (int64_t step = 0; step < inputs.size(0); ++step) {
    network.zero_grad();
    const at::Tensor x = inputs.index({step, group->rank()});
    (network.forward(x) - x.select(1, 0).narrow(1, 0, 4)).square().mean().backward();
    optimizer.step();
  }
  std::ostringstream problems;
  const double bound = group->world_size() > 2 ? 1e-8 : 1e-10;  // two numbers have one sum, three have several
  for (const auto& [name, ours] : checkpoint::named_state(*net)) {
    const double difference = relative_difference(ours, tensor(entry(row, "final"), name));
    if (!(difference <= bound)) problems << name << " differs by " << difference << "; ";
  }
  const List& expected = *entry(row, "compression").get<List>();
  const auto [numbers, sent] = power_sgd.compression();
  if (numbers != *expected[0].get<int64_t>() || sent != *expected[1].get<int64_t>()) {
    problems << "sent " << sent << " of " << numbers << " numbers, not " << *expected[1].get<int64_t>() << " of "
             << *expected[0].get<int64_t>();
  }
  return problems.str();
}

c10::ScalarType type_named(const Value& name) {
  const std::string& text = *name.get<std::string>();
  return text == "bfloat16" ? at::kBFloat16 : text == "float16" ? at::kHalf : at::kFloat;
}

std::string train_short(const std::shared_ptr<ddp::ProcessGroup>& group, const Value& record, const Value& row) {
  using torch::nn::Linear;
  torch::nn::Sequential net(Linear(12, 16), torch::nn::BatchNorm1d(16), torch::nn::Tanh(), Linear(16, 4));
  if (const Status loaded = checkpoint::load_module_state(*net, entry(record, "short_initial")); !loaded) {
    return loaded.error().message;
  }
  for (at::Tensor& parameter : net[3]->parameters()) parameter.requires_grad_(!*entry(row, "frozen").get<bool>());
  const List& types = *entry(row, "types").get<List>();
  ddp::DdpOptions options;
  options.mixed_precision = {type_named(types[0]), type_named(types[1]), type_named(types[2])};
  ddp::DistributedDataParallel<torch::nn::Sequential> network(net, group, options);
  ddp::Sgd optimizer(net->parameters(), {.lr = 0.05, .momentum = 0.9});
  const at::Tensor inputs = tensor(record, "inputs");
  for (int64_t step = 0; step < inputs.size(0); ++step) {
    network.zero_grad();
    const at::Tensor y = network.forward(inputs.index({step, group->rank()}).select(1, 0).to(at::kFloat));
    if (y.scalar_type() != type_named(types[0])) return "an output of another type";
    y.to(at::kFloat).square().mean().backward();
    optimizer.step();
  }
  std::ostringstream problems;
  for (const auto& [name, ours] : checkpoint::named_state(*net)) {
    if (name == "1.num_batches_tracked") continue;                      // Python makes a short float of the counter
    if (name.starts_with("1.running") && group->rank() != 0) continue;  // of the last pass, and of rank 0's file
    const double difference = relative_difference(ours, tensor(entry(row, "final"), name));
    if (!(difference <= 1e-5)) problems << name << " differs by " << difference << "; ";
  }
  for (const auto& item : net->named_parameters()) {
    if (!item.value().requires_grad()) continue;
    if (!item.value().grad().equal(tensor(entry(row, "gradients"), item.key()))) {
      problems << "the gradient of " << item.key() << " differs; ";
    }
  }
  return problems.str();
}

using Repeat = std::string (*)(const std::shared_ptr<ddp::ProcessGroup>& group, const Value& record, const Value& row);

// What `repeat` says of each row on each rank.
std::vector<std::string> problems_of(int world_size, const Value& record, const char* name, Repeat repeat) {
  const List& rows = *entry(record, name).get<List>();
  testing::RankHarness ranks;
  return ranks.run(world_size, [&](ddp::GroupAddress address) {
    at::set_num_threads(1);
    address.connects_alone = true;  // a world of one reduces too
    const auto group = *ddp::ProcessGroup::create(address, {});
    std::string problems;
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::string wrong = repeat(group, record, rows[i]);
      if (!wrong.empty()) problems += "row " + std::to_string(i) + ": " + wrong + "\n";
    }
    group->shut_down();
    return problems;
  });
}

class DdpHooksParity : public PeerValueTest {};

TEST_F(DdpHooksParity, PowerSgdAndShortParametersTrainAsPythons) {
  run_peer("ddp_hooks_peer.py");
  if (IsSkipped() || HasFatalFailure()) return;
  for (const int world_size : {1, 2, 3, 4}) {
    SCOPED_TRACE(std::to_string(world_size) + " ranks");
    const Value record = load("ranks" + std::to_string(world_size) + ".pt");
    EXPECT_THAT(problems_of(world_size, record, "rows", train_by_power_sgd), Each(IsEmpty()));
    EXPECT_THAT(problems_of(world_size, record, "short", train_short), Each(IsEmpty()));
  }
}

}  // namespace
}  // namespace ferrun::parity
