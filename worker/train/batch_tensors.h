// A loaded batch as tensors, without copying it.
#pragma once

#include <ATen/core/Tensor.h>

#include "worker/data/loader.h"

namespace ferrun::train {

struct BatchTensors {
  at::Tensor pixels;   // N × 3 × H × W float, channels-last in memory when the loader made it so
  at::Tensor targets;  // N int64
};

// On the CPU the tensors own the batch's memory; for another device they are copied there.
BatchTensors to_tensors(data::Batch batch, bool channels_last, c10::Device device);

}  // namespace ferrun::train
