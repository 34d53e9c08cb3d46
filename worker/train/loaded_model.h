// A classifier from a checkpoint, for prediction and evaluation.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/model/emotion_net.h"

namespace ferrun::train {

struct LoadedModel {
  model::EmotionNet model{nullptr};
  int64_t outputs = 0;
  std::vector<std::string> classes;  // empty when the checkpoint does not name them
  std::optional<int> image_size;     // at which it was trained, when the checkpoint says so
};

// A checkpoint of the worker, or of the Python trainer: a dict with model_state_dict, or a bare state_dict. The number
// of classes is that of its last layer. In evaluation mode, on the CPU. Failure: one line that names the file.
Result<LoadedModel> load_model(const std::string& path);

}  // namespace ferrun::train
