// Clipped gradients and averaged weights against torch.nn.utils.clip_grad_norm_ and torch.optim.swa_utils, bit for bit.
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

constexpr size_t kUpdatesHalf = 3;

class WeightsParity : public PeerValueTest {
 protected:
  void SetUp() override {
    run_peer("averaging_peer.py", "write");
    if (!IsSkipped() && !HasFatalFailure()) record_ = load("record.pt");
  }
  const List& list(const char* key) const { return *entry(record_, key).get<List>(); }

  Value record_;
};

TEST_F(WeightsParity, GradientsAreClippedAsPyTorchDoes) {
  for (const Value& one : list("clipped")) {
    std::vector<at::Tensor> parameters;
    for (const at::Tensor& gradient : tensors(one, "before")) {
      parameters.push_back(at::zeros_like(gradient).set_requires_grad(true));
      parameters.back().mutable_grad() = gradient.clone();
    }
    parameters.push_back(at::zeros({2}).set_requires_grad(true));  // has no gradient
    const at::Tensor norm = tensor(one, "norm");
    const ddp::ClipOptions options{.norm_type = *entry(one, "norm_type").get<double>()};
    if (options.norm_type == 2.0) {
      EXPECT_TRUE(ddp::grad_norm(parameters).equal(norm));
    }
    EXPECT_TRUE(ddp::clip_grad_norm(parameters, *entry(one, "max_norm").get<double>(), options).equal(norm))
        << options.norm_type;
    const auto expected = tensors(one, "after");
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(parameters[i].grad().equal(expected[i]))
          << "norm " << norm.item<double>() << " of type " << options.norm_type << ", gradient " << i;
    }
  }
}

torch::nn::Sequential averaged_module() {
  return torch::nn::Sequential(torch::nn::Linear(4, 3), torch::nn::BatchNorm1d(3));
}

void expect_average(const ddp::ExponentialMovingAverage& average, const Value& expected, size_t update) {
  const Value ours = average.state_dict();
  ASSERT_EQ(ours.get<Dict>()->size(), expected.get<Dict>()->size());
  for (const auto& [key, value] : *expected.get<Dict>()) {
    const std::string& name = *key.get<std::string>();
    EXPECT_TRUE(tensor(ours, name).equal(*value.get<at::Tensor>())) << name << " after update " << update;
  }
}

TEST_F(WeightsParity, AveragesAreAveragedModels) {
  torch::nn::Sequential module = averaged_module();
  ddp::ExponentialMovingAverage average(*module, 0.9);
  for (size_t i = 0; i < list("weights").size(); ++i) {
    ASSERT_TRUE(checkpoint::load_module_state(*module, list("weights")[i]).ok());
    average.update();
    expect_average(average, list("averages")[i], i);
  }
}

TEST_F(WeightsParity, AveragesGoOnFromPythonsStateAndPythonFromOurs) {
  torch::nn::Sequential module = averaged_module();
  ddp::ExponentialMovingAverage average(*module, 0.9);
  const Status loaded = average.load_state_dict(list("averages")[kUpdatesHalf - 1]);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  const Status saved = checkpoint::write_atomically(result("ours.pt").string(), average.state_dict());
  ASSERT_TRUE(saved.ok()) << saved.error().message;
  for (size_t i = kUpdatesHalf; i < list("weights").size(); ++i) {
    ASSERT_TRUE(checkpoint::load_module_state(*module, list("weights")[i]).ok());
    average.update();
    expect_average(average, list("averages")[i], i);
  }
  run_peer("averaging_peer.py", "check");
}

}  // namespace
}  // namespace ferrun::parity
