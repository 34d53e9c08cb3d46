// The memory order that LibTorch's convolutions are fastest in.
#pragma once

#include <torch/nn/module.h>

namespace ferrun::train {

// Lays out the convolutions' weights channels-last. Before an optimizer or DDP looks at their strides.
void use_channels_last(torch::nn::Module& module);

}  // namespace ferrun::train
