// How far a model is from recorded outputs. Both parity suites of the model use it, and the test that plants mistakes.
#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "worker/checkpoint/value.h"
#include "worker/model/emotion_net.h"

namespace ferrun::parity {

// A model of `options` with the weights of a state_dict.
model::EmotionNet model_with(const checkpoint::Value& weights, const model::EmotionNetOptions& options = {});
// Logits in eval mode, without gradients.
at::Tensor infer(model::EmotionNet& model, const at::Tensor& input);

struct TrainingTrace {
  std::vector<at::Tensor> logits;
  std::vector<double> losses;
  std::vector<double> gradient_norms;  // before the step
};
// One step of Adam at PyTorch's defaults for each batch, in train mode.
TrainingTrace train(model::EmotionNet& model, const std::vector<at::Tensor>& inputs,
                    const std::vector<at::Tensor>& targets);

}  // namespace ferrun::parity
