#include "worker/train/batch_tensors.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <c10/core/MemoryFormat.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace ferrun::train {
namespace {

at::Tensor by_channel(const std::array<float, 3>& values, c10::Device device) {
  at::Tensor tensor = at::empty({1, 3, 1, 1}, at::kFloat);
  std::ranges::copy(values, tensor.mutable_data_ptr<float>());
  return tensor.to(device);
}

}  // namespace

BatchTensors to_tensors(data::Batch batch, bool channels_last, bool bytes) {
  const auto owned = std::make_shared<data::Batch>(std::move(batch));
  const auto keep = [owned](void*) {};
  const int64_t count = static_cast<int64_t>(owned->labels.size());
  const int64_t height = owned->height;
  const int64_t width = owned->width;
  BatchTensors tensors;
  tensors.targets = at::from_blob(owned->labels.data(), {count}, keep, at::kLong);
  if (bytes) {
    tensors.pixels = at::from_blob(owned->pixels.bytes(), {count, height, width, 3}, keep, at::kByte);
    return tensors;
  }
  const std::vector<int64_t> sizes{count, 3, height, width};
  const std::vector<int64_t> strides = channels_last
                                           ? std::vector<int64_t>{3 * height * width, 1, 3 * width, 3}
                                           : std::vector<int64_t>{3 * height * width, height * width, width, 1};
  tensors.pixels = at::from_blob(owned->pixels.data(), sizes, strides, keep, at::kFloat);
  return tensors;
}

// Divisors are tensors of the device: a GPU would multiply by a number's reciprocal, which rounds otherwise.
DeviceNormalize::DeviceNormalize(const data::ChannelStatistics& statistics, c10::Device device)
    : white_(at::full({1}, 255.0, at::TensorOptions(at::kFloat).device(device))),
      mean_(by_channel(statistics.mean, device)),
      stddev_(by_channel(statistics.stddev, device)) {}

at::Tensor DeviceNormalize::operator()(const at::Tensor& bytes, bool channels_last) const {
  const at::NoGradGuard no_grad;
  at::Tensor floats = bytes.permute({0, 3, 1, 2}).to(at::kFloat).div_(white_).sub_(mean_).div_(stddev_);
  return channels_last ? floats.contiguous(at::MemoryFormat::ChannelsLast) : floats.contiguous();
}

}  // namespace ferrun::train
