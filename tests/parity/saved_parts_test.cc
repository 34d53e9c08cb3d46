// The state of torch::optim's optimizers and of random generators between Python and C++, both ways.
#include <ATen/Context.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <map>
#include <memory>

#include "tests/parity/peer_values.h"
#include "worker/checkpoint/module_state.h"
#include "worker/checkpoint/writer.h"
#include "worker/ddp/checkpoint.h"
#include "worker/ddp/torch_optimizer_state.h"

namespace ferrun::parity {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;
using torch::nn::Linear;
using torch::optim::OptimizerParamGroup;

constexpr const char* kNames[] = {"adam", "adamw", "sgd", "rmsprop", "adagrad"};

// With other hyperparameters than the files have: these bring their own.
std::unique_ptr<torch::optim::Optimizer> make(const std::string& name, const Linear& net) {
  std::vector<OptimizerParamGroup> groups;
  groups.emplace_back(std::vector<at::Tensor>{net->weight});
  groups.emplace_back(std::vector<at::Tensor>{net->bias});
  if (name == "adam") return std::make_unique<torch::optim::Adam>(groups);
  if (name == "adamw") return std::make_unique<torch::optim::AdamW>(groups);
  if (name == "sgd") return std::make_unique<torch::optim::SGD>(groups, torch::optim::SGDOptions(1));
  if (name == "rmsprop") return std::make_unique<torch::optim::RMSprop>(groups);
  return std::make_unique<torch::optim::Adagrad>(groups);
}

class SavedPartsParity : public PeerValueTest {
 protected:
  void SetUp() override {
    PeerValueTest::SetUp();
    if (!IsSkipped()) run_peer("saved_parts_peer.py", "write");
  }
};

// Python trained two steps; C++ takes one more, from the gradients that Python had, and so does Python from what C++
// saved.
TEST_F(SavedPartsParity, TorchOptimizersGoOnWhereTheOtherSideWas) {
  if (IsSkipped() || HasFatalFailure()) return;
  for (const std::string name : kNames) {
    const Value file = load(name + ".pt");
    Linear net(4, 3);
    const auto optimizer = make(name, net);
    const auto loaded = ddp::load_content(entry(file, "before"),
                                          ddp::CheckpointParts{.module = &*net, .torch_optimizer = optimizer.get()});
    ASSERT_TRUE(loaded.ok()) << name << ": " << loaded.error().message;
    // What was read is what is written.
    ASSERT_TRUE(checkpoint::write_atomically(result("our_" + name + ".pt").string(), *ddp::state_dict(*optimizer)));
    const std::vector<at::Tensor> gradients = tensors(file, "gradients");
    net->weight.mutable_grad() = gradients[0];
    net->bias.mutable_grad() = gradients[1];
    optimizer->step();
    EXPECT_LT(relative_difference(net->weight, tensor(entry(file, "after"), "weight")), 1e-6) << name;
    EXPECT_LT(relative_difference(net->bias, tensor(entry(file, "after"), "bias")), 1e-6) << name;
  }
  run_peer("saved_parts_peer.py", "check");
}

TEST_F(SavedPartsParity, RandomNumbersGoOnWhereTheOtherSideWas) {
  if (IsSkipped() || HasFatalFailure()) return;
  const Value file = load("random.pt");
  std::vector<at::Tensor> states;
  ASSERT_TRUE(ddp::load_content(file, {.random_states = &states}).ok());
  ASSERT_TRUE(ddp::set_random_state(states.at(0)).ok());
  EXPECT_TRUE(at::randn({5}).equal(tensor(file, "next")));
  states = {ddp::random_state()};
  ASSERT_TRUE(
      ddp::save_checkpoint(result("our_random.pt").string(), {.random_states = &states}, Dict{{"next", at::randn({5})}})
          .ok());
  run_peer("saved_parts_peer.py", "check_random");
}

}  // namespace
}  // namespace ferrun::parity
