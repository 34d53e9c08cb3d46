#include "tests/parity/model_comparison.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "worker/ddp/adam.h"
#include "worker/model/weights.h"

namespace ferrun::parity {

using checkpoint::Value;

model::EmotionNet model_with(const Value& weights, const model::EmotionNetOptions& options) {
  model::EmotionNet model(model::count_classes(weights), options);
  const Status loaded = model::load_weights(model, weights);
  EXPECT_TRUE(loaded.ok()) << loaded.error().message;
  return model;
}

at::Tensor infer(model::EmotionNet& model, const at::Tensor& input) {
  const c10::NoGradGuard no_grad;
  model->eval();
  return model->forward(input);
}

TrainingTrace train(model::EmotionNet& model, const std::vector<at::Tensor>& inputs,
                    const std::vector<at::Tensor>& targets) {
  TrainingTrace trace;
  ddp::Adam adam(model->parameters(), {});
  model->train();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor logits = model->forward(inputs[i]);
    const at::Tensor loss = at::cross_entropy_loss(logits, targets[i]);
    adam.zero_grad();
    loss.backward();
    double squares = 0;
    for (const at::Tensor& parameter : model->parameters()) squares += parameter.grad().square().sum().item<double>();
    adam.step();
    trace.logits.push_back(logits.detach());
    trace.losses.push_back(loss.item<double>());
    trace.gradient_norms.push_back(std::sqrt(squares));
  }
  return trace;
}

}  // namespace ferrun::parity
