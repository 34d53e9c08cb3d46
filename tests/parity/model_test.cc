// EmotionNet against the Python peer's, with weights that have been trained.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/parity/model_comparison.h"
#include "tests/parity/peer_values.h"
#include "worker/checkpoint/module_state.h"
#include "worker/ddp/autocast.h"

namespace ferrun::parity {
namespace {

using checkpoint::Value;

class ModelParity : public PeerValueTest {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    run_peer("model_peer.py");
  }

  // Forward, `autocast` to bfloat16 or not, and backward in one mode; logits, loss, every gradient and every buffer
  // must agree to `bound`.
  static void compare(model::EmotionNet model, const Value& record, const std::string& mode, at::MemoryFormat format,
                      double bound, bool autocast = false) {
    const Value& expected = entry(record, mode);
    model->train(mode == "train");
    const at::Tensor inputs = tensor(expected, "inputs").contiguous(format);
    const at::Tensor logits = [&] {
      const ddp::AutocastGuard guard(at::kCPU, at::kBFloat16, autocast);
      return model->forward(inputs).to(inputs.scalar_type());
    }();
    const at::Tensor loss = at::cross_entropy_loss(logits, tensor(expected, "targets"));
    loss.backward();
    EXPECT_LT(relative_difference(logits.detach(), tensor(expected, "logits")), bound) << mode;
    EXPECT_NEAR(loss.item<double>(), *entry(expected, "loss").get<double>(), bound) << mode;
    // Some gradients are zero but for rounding (a bias in front of a normalisation), hence a part of the whole one.
    const Value& gradients = entry(expected, "gradients");
    double squares = 0;
    for (const auto& [name, gradient] : *gradients.get<checkpoint::Dict>()) {
      squares += gradient.get<at::Tensor>()->square().sum().item<double>();
    }
    for (const auto& parameter : model->named_parameters()) {
      const at::Tensor theirs = tensor(gradients, parameter.key());
      const double difference = parameter.value().grad().sub(theirs).norm().item<double>();
      EXPECT_LT(difference, bound * (theirs.norm().item<double>() + 1e-3 * std::sqrt(squares)))
          << mode << ": gradient of " << parameter.key();
    }
    for (const auto& buffer : model->named_buffers()) {
      EXPECT_LT(relative_difference(buffer.value(), tensor(entry(expected, "buffers"), buffer.key())), bound)
          << mode << ": " << buffer.key();
    }
  }
};

TEST_F(ModelParity, TheSeedGivesPythonsInitialWeights) {
  at::manual_seed(11);
  model::EmotionNet model(7);
  const Value initial = load("initial.pt");
  for (const auto& [name, ours] : checkpoint::named_state(*model)) {
    EXPECT_LE(largest_difference(ours.to(at::kDouble), tensor(initial, name).to(at::kDouble)), 1e-6) << name;
  }
}

TEST_F(ModelParity, FloatOutputsAndGradientsAgree) {
  const Value record = load("float32.pt");
  for (at::MemoryFormat format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    for (const char* mode : {"eval", "train"}) compare(model_with(load("trained.pt")), record, mode, format, 2e-3);
  }
}

TEST_F(ModelParity, DoubleOutputsAndGradientsAgree) {
  const Value record = load("float64.pt");
  for (const char* mode : {"eval", "train"}) {
    auto model = model_with(load("trained.pt"));
    model->to(at::kDouble);
    compare(model, record, mode, at::MemoryFormat::Contiguous, 1e-9);
  }
}

// Rounding to 8 bits in forty layers, and at other places than Python's in each BatchNorm with SiLU, moves some
// gradients by 7 % of their norm.
TEST_F(ModelParity, OutputsAndGradientsUnderAutocastAgree) {
  const Value record = load("autocast.pt");
  for (at::MemoryFormat format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    for (const char* mode : {"eval", "train"}) {
      compare(model_with(load("trained.pt")), record, mode, format, 0.1, /*autocast=*/true);
    }
  }
}

// The comparisons above must be able to fail.
TEST_F(ModelParity, APlantedWrongAreaOrBatchNormEpsIsNoticed) {
  const Value record = load("float32.pt");
  const Value& expected = entry(record, "eval");
  const auto difference = [&](const model::EmotionNetOptions& options) {
    auto model = model_with(load("trained.pt"), options);
    return relative_difference(infer(model, tensor(expected, "inputs")), tensor(expected, "logits"));
  };
  EXPECT_LT(difference({}), 1e-4);
  EXPECT_GT(difference({.area = 1}), 1e-2);
  EXPECT_GT(difference({.area = 2}), 1e-2);
  EXPECT_GT(difference({.batch_norm_eps = 1e-3}), 1e-2);
}

}  // namespace
}  // namespace ferrun::parity
