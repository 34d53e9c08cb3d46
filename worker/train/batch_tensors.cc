#include "worker/train/batch_tensors.h"

#include <ATen/ops/from_blob.h>

#include <memory>
#include <utility>

namespace ferrun::train {

BatchTensors to_tensors(data::Batch batch, bool channels_last, c10::Device device) {
  const auto owned = std::make_shared<data::Batch>(std::move(batch));
  const auto keep = [owned](void*) {};
  const int64_t count = static_cast<int64_t>(owned->labels.size());
  const int64_t height = owned->height;
  const int64_t width = owned->width;
  const std::vector<int64_t> sizes{count, 3, height, width};
  const std::vector<int64_t> strides = channels_last
                                           ? std::vector<int64_t>{3 * height * width, 1, 3 * width, 3}
                                           : std::vector<int64_t>{3 * height * width, height * width, width, 1};
  BatchTensors tensors;
  tensors.pixels = at::from_blob(owned->pixels.data(), sizes, strides, keep, at::kFloat).to(device);
  tensors.targets = at::from_blob(owned->labels.data(), {count}, keep, at::kLong).to(device);
  return tensors;
}

}  // namespace ferrun::train
