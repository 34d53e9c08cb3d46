// Gradients and weights of our DistributedDataParallel against Python's, in train mode, where BatchNorm's statistics
// are each rank's own and its buffers come from rank 0.
#include <ATen/Parallel.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <gmock/gmock.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <sstream>

#include "tests/parity/peer_values.h"
#include "tests/worker/ddp/rank_harness.h"
#include "worker/checkpoint/module_state.h"
#include "worker/ddp/adam.h"
#include "worker/ddp/distributed_data_parallel.h"
#include "worker/ddp/sgd.h"
#include "worker/model/emotion_net.h"

namespace ferrun::parity {
namespace {

using ::testing::Each;
using ::testing::IsEmpty;

// Python's buckets differ from ours, so sums are rounded in another order: far below this, in double precision.
constexpr double kBound = 1e-10;
// Some gradients are zero but for rounding (a bias before a BatchNorm). Adam divides those by its eps of 1e-8, which
// makes steps of 1e-12 of them.
constexpr double kGradientFloor = 1e-15;
constexpr double kWeightFloor = 1e-10;

class DdpParity : public PeerValueTest {};

void compare(const std::string& what, const at::Tensor& ours, const at::Tensor& theirs, double floor,
             std::ostringstream& problems) {
  const double difference = (ours.to(at::kDouble) - theirs.to(at::kDouble)).norm().item<double>();
  const double norm = theirs.to(at::kDouble).norm().item<double>();
  if (!(difference <= kBound * norm + floor)) {
    problems << what << " differs by " << difference << " of " << norm << "; ";
  }
}

// One rank: the peer's steps with our model, DDP and Adam. Returns what differs.
std::string repeat_steps(const ddp::GroupAddress& address, const checkpoint::Value& record) {
  at::set_num_threads(1);
  const auto group = *ddp::ProcessGroup::create(address, {});
  model::EmotionNet net(7);
  net->to(at::kDouble);
  if (const Status loaded = checkpoint::load_module_state(*net, entry(record, "initial")); !loaded) {
    return loaded.error().message;
  }
  ddp::DistributedDataParallel<model::EmotionNet> network(net, group);
  ddp::Adam optimizer(net->parameters(), {});
  const auto& inputs = *entry(record, "inputs").get<checkpoint::List>();
  const auto& targets = *entry(record, "targets").get<checkpoint::List>();
  const auto& gradients = *entry(record, "gradients").get<checkpoint::List>();
  std::ostringstream problems;
  for (size_t step = 0; step < inputs.size(); ++step) {
    const at::Tensor all = *inputs[step].get<at::Tensor>();
    const int64_t share = all.size(0) / group->world_size();
    const auto own = [&](const at::Tensor& tensor) { return tensor.narrow(0, group->rank() * share, share); };
    network.zero_grad();
    at::cross_entropy_loss(network.forward(own(all)), own(*targets[step].get<at::Tensor>())).backward();
    const auto& expected = *gradients[step].get<checkpoint::List>();
    for (size_t i = 0; i < expected.size(); ++i) {
      compare("step " + std::to_string(step) + " gradient " + std::to_string(i), net->parameters()[i].grad(),
              *expected[i].get<at::Tensor>(), kGradientFloor, problems);
    }
    optimizer.step();
  }
  for (const auto& [name, ours] : checkpoint::named_state(*net)) {
    const bool of_rank_zero = ours.scalar_type() == at::kLong || name.find("running_") != std::string::npos;
    if (!of_rank_zero || group->rank() == 0) {
      compare(name, ours, tensor(entry(record, "final"), name), kWeightFloor, problems);
    }
  }
  group->shut_down();
  return problems.str();
}

TEST_F(DdpParity, TrainsAsPythonsDistributedDataParallel) {
  run_peer("ddp_peer.py");
  if (IsSkipped() || HasFatalFailure()) return;
  for (const int world_size : {2, 3}) {
    const checkpoint::Value record = load("ranks" + std::to_string(world_size) + ".pt");
    testing::RankHarness ranks;
    EXPECT_THAT(ranks.run(world_size, [&](const auto& address) { return repeat_steps(address, record); }),
                Each(IsEmpty()))
        << world_size << " ranks";
  }
}

// One rank: the peer's micro batches, the last of each step reduced. Two ranks' gradients have one order of addition,
// so they are equal to Python's; of three the buckets decide.
std::string accumulate_gradients(const ddp::GroupAddress& address, const checkpoint::Value& record) {
  at::set_num_threads(1);
  const auto group = *ddp::ProcessGroup::create(address, {});
  torch::nn::Sequential net(torch::nn::Linear(6, 5), torch::nn::Tanh(), torch::nn::Linear(5, 3));
  net->to(at::kDouble);
  if (const Status loaded = checkpoint::load_module_state(*net, entry(record, "initial")); !loaded) {
    return loaded.error().message;
  }
  ddp::DistributedDataParallel<torch::nn::Sequential> network(net, group);
  ddp::Sgd optimizer(net->parameters(), {.lr = 0.5});
  const at::Tensor inputs = tensor(record, "inputs");
  const auto& gradients = *entry(record, "gradients").get<checkpoint::List>();
  std::ostringstream problems;
  for (int64_t step = 0; step < inputs.size(0); ++step) {
    network.zero_grad();
    for (int64_t micro = 0; micro < inputs.size(1); ++micro) {
      const auto scope = network.no_sync(micro + 1 < inputs.size(1));
      network.forward(inputs.index({step, micro, group->rank()})).square().mean().backward();
    }
    const auto& expected = *gradients[static_cast<size_t>(step)].get<checkpoint::List>();
    for (size_t i = 0; i < expected.size(); ++i) {
      const at::Tensor ours = net->parameters()[i].grad(), theirs = *expected[i].get<at::Tensor>();
      if (group->world_size() == 2 && !ours.equal(theirs)) problems << "step " << step << " gradient " << i << "; ";
      compare("step " + std::to_string(step) + " gradient " + std::to_string(i), ours, theirs, kGradientFloor,
              problems);
    }
    optimizer.step();
  }
  group->shut_down();
  return problems.str();
}

TEST_F(DdpParity, AccumulatesAsPythonsNoSync) {
  run_peer("accumulate_peer.py");
  if (IsSkipped() || HasFatalFailure()) return;
  for (const int world_size : {2, 3}) {
    const checkpoint::Value record = load("ranks" + std::to_string(world_size) + ".pt");
    testing::RankHarness ranks;
    EXPECT_THAT(ranks.run(world_size, [&](const auto& address) { return accumulate_gradients(address, record); }),
                Each(IsEmpty()))
        << world_size << " ranks";
  }
}

}  // namespace
}  // namespace ferrun::parity
