// A classifier from a checkpoint, for prediction, evaluation and export.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/data/transforms.h"
#include "worker/model/emotion_net.h"

namespace ferrun::train {

struct LoadedModel {
  model::EmotionNet model{nullptr};
  int64_t outputs = 0;
  std::vector<std::string> classes;          // empty when the checkpoint does not name them
  std::optional<int> image_size;             // at which it was trained, when the checkpoint says so
  std::optional<uint64_t> seed;              // of its run, likewise
  std::optional<bool> exif_orientation;      // whether its pictures were turned upright, likewise
  std::optional<data::Transform> transform;  // with which it was validated, where that was not the usual one

  // What is done to pictures of `size`, which the user may have chosen.
  data::Transform transform_for(int size) const {
    return transform && transform->size() == size ? *transform : data::Transform::validation(size);
  }
};

// A file that model::find_weights finds weights in: of the worker, or of a Python trainer. The number of classes is
// that of its last layer. In evaluation mode, on the CPU. What else it says is checked: class names that do not fit the
// last layer, or an image size that the network cannot have, are a failure. Failure: one line that names the file.
Result<LoadedModel> load_model(const std::string& path);

}  // namespace ferrun::train
