// A classifier from a checkpoint, for prediction, evaluation and export.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/data/transforms.h"
#include "worker/model/emotion_net.h"
#include "worker/train/source_data.h"

namespace ferrun::train {

struct LoadedModel {
  model::EmotionNet model{nullptr};
  int64_t outputs = 0;
  std::vector<std::string> classes;          // empty when the checkpoint does not name them
  std::optional<int> image_size;             // at which it was trained, when the checkpoint says so
  std::optional<uint64_t> seed;              // of its run, likewise
  SavedData data;                            // its pictures, likewise
  std::optional<bool> exif_orientation;      // whether its pictures were turned upright, likewise
  std::optional<data::Transform> transform;  // with which it was validated, where that was not the usual one

  // What is done to pictures, of the size that the user asked for, else the checkpoint's, else `fallback`. Failure,
  // kUsage: that size does not go with the checkpoint's transforms, or with the network. `path` is for the message.
  Result<data::Transform> transform_for(const std::string& path, std::optional<int> asked, int fallback) const;

  // What prediction needs besides the weights, as an export carries it: `classes` (a JSON list), `image_size`,
  // `transforms` (a JSON list as --transforms has it, of validation) and `exif_orientation` (true, false); of what the
  // checkpoint does not say, nothing. load_model reads them back.
  std::map<std::string, std::string> facts() const;
};

// A file that model::find_weights finds weights in: of the worker, or of a Python trainer. The number of classes is
// that of its last layer. In evaluation mode, on the CPU. What else it says is checked: class names that do not fit the
// last layer, or an image size that the network cannot have, are a failure. Failure: one line that names the file.
Result<LoadedModel> load_model(const std::string& path);

}  // namespace ferrun::train
