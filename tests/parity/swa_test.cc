// AveragedModel as a mean, update_bn and clipping by value against PyTorch's, bit for bit.
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include "tests/parity/peer_values.h"
#include "worker/checkpoint/module_state.h"
#include "worker/checkpoint/writer.h"
#include "worker/ddp/gradient_norm.h"
#include "worker/ddp/moving_average.h"

namespace ferrun::parity {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;

constexpr size_t kMeansHalf = 3;

torch::nn::Sequential normed_module() {
  return torch::nn::Sequential(torch::nn::Linear(4, 3), torch::nn::BatchNorm1d(3), torch::nn::Linear(3, 2));
}

class SwaParity : public PeerValueTest {
 protected:
  void SetUp() override {
    run_peer("swa_peer.py", "write");
    if (!IsSkipped() && !HasFatalFailure()) record_ = load("record.pt");
  }
  const List& list(const char* key) const { return *entry(record_, key).get<List>(); }
  void take_weights(torch::nn::Sequential& module, ddp::AveragedModel& mean, size_t begin) const {
    for (size_t i = begin; i < list("weights").size(); ++i) {
      ASSERT_TRUE(checkpoint::load_module_state(*module, list("weights")[i]).ok());
      mean.update();
      expect_mean(mean.state_dict(), list("means")[i], i);
    }
  }
  static void expect_mean(const Value& ours, const Value& theirs, size_t update) {
    ASSERT_EQ(ours.get<Dict>()->size(), theirs.get<Dict>()->size());
    for (const auto& [key, value] : *theirs.get<Dict>()) {
      const std::string& name = *key.get<std::string>();
      EXPECT_TRUE(tensor(ours, name).equal(*value.get<at::Tensor>())) << name << " after update " << update;
    }
  }

  Value record_;
};

TEST_F(SwaParity, TheMeanIsAveragedModels) {
  torch::nn::Sequential module = normed_module();
  ddp::AveragedModel mean(*module);
  take_weights(module, mean, 0);
  const Value weights = checkpoint::module_state(*module);
  {
    module->eval();
    const auto swapped = mean.in_module();
    std::vector<at::Tensor> batches = tensors(record_, "batches");
    ddp::update_bn(*module, batches, [&](const at::Tensor& batch) { module->forward(batch); });
    EXPECT_FALSE(module->is_training());
    EXPECT_EQ(module->ptr(1)->as<torch::nn::BatchNorm1dImpl>()->options.momentum(), 0.1);
    const Value normed = checkpoint::module_state(*module);
    for (const auto& [key, value] : *normed.get<Dict>()) {
      const std::string name = "module." + *key.get<std::string>();
      EXPECT_TRUE(value.get<at::Tensor>()->equal(tensor(entry(record_, "normed"), name))) << name;
    }
  }
  const Value again = checkpoint::module_state(*module);
  for (const auto& [key, value] : *again.get<Dict>()) {
    EXPECT_TRUE(value.get<at::Tensor>()->equal(tensor(weights, *key.get<std::string>())));
  }
}

TEST_F(SwaParity, TheMeanGoesOnFromPythonsStateAndPythonFromOurs) {
  torch::nn::Sequential module = normed_module();
  ddp::AveragedModel mean(*module);
  const Status loaded = mean.load_state_dict(list("means")[kMeansHalf - 1]);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(mean.updates(), static_cast<int64_t>(kMeansHalf));
  const Status saved = checkpoint::write_atomically(result("ours.pt").string(), mean.state_dict());
  ASSERT_TRUE(saved.ok()) << saved.error().message;
  take_weights(module, mean, kMeansHalf);
  run_peer("swa_peer.py", "check");
}

TEST_F(SwaParity, GradientsAreClippedByValueAsPyTorchDoes) {
  std::vector<at::Tensor> parameters;
  for (const at::Tensor& gradient : tensors(record_, "gradients")) {
    parameters.push_back(at::zeros_like(gradient).set_requires_grad(true));
    parameters.back().mutable_grad() = gradient.clone();
  }
  parameters.push_back(at::zeros({2}).set_requires_grad(true));
  ddp::clip_grad_value(parameters, 0.5);
  const std::vector<at::Tensor> expected = tensors(record_, "clipped");
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(parameters[i].grad().equal(expected[i]));
  EXPECT_FALSE(parameters.back().grad().defined());
}

}  // namespace
}  // namespace ferrun::parity
