// A loaded batch as tensors, without copying it.
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/data/fused_transform.h"
#include "worker/data/loader.h"

namespace ferrun::train {

struct BatchTensors {
  at::Tensor pixels;   // N × 3 × H × W float, channels-last in memory when the loader made it so
  at::Tensor targets;  // N int64
};

// Tensors that own the batch's memory, on the CPU; `pixels` is N × H × W × 3 when the loader gives `bytes`.
BatchTensors to_tensors(data::Batch batch, bool channels_last, bool bytes = false);

// ToTensor and Normalize for a batch of bytes, on the device where they are: the floats that the loader would have
// given, bit for bit.
class DeviceNormalize {
 public:
  DeviceNormalize(const data::ChannelStatistics& statistics, c10::Device device);
  // `bytes`: N × H × W × 3. N × 3 × H × W floats.
  at::Tensor operator()(const at::Tensor& bytes, bool channels_last) const;

 private:
  at::Tensor white_;  // 255
  at::Tensor mean_, stddev_;
};

}  // namespace ferrun::train
