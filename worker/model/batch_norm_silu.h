// BatchNorm followed by SiLU as one differentiable operation.
//
// On the CPU these two took 43 % of a training step at 224² (LibTorch 2.11, channels_last, one thread), most of it for
// moving memory. Done together they read and write less than half as much, and backward needs only the convolution's
// output: the normalised picture is computed again where it is used.
#pragma once

#include <torch/nn/modules/batchnorm.h>

namespace ferrun::model {

// silu(bn(x)), or bn(x) alone without `activate`; the running statistics and the batch counter move as in
// bn->forward(x). One pass for float pictures in channels_last on the CPU in training mode, LibTorch's own operations
// for everything else. The same numbers as LibTorch's to rounding; the same bits for any number of threads.
torch::Tensor batch_norm_silu(const torch::Tensor& x, torch::nn::BatchNorm2d& bn, bool activate);

}  // namespace ferrun::model
