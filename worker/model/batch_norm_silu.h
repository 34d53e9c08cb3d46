// BatchNorm followed by SiLU as one differentiable operation.
//
// On the CPU these two took 43 % of a training step at 224² (LibTorch 2.11, channels_last, one thread), most of it for
// moving memory. Done together they read and write less than half as much, and backward needs only the convolution's
// output: the normalised picture is computed again where it is used.
#pragma once

#include <torch/nn/modules/batchnorm.h>

namespace ferrun::model {

// silu(bn(x)), or bn(x) alone without `activate`; in training mode the running statistics and the batch counter move as
// in bn->forward(x). x: [N, C, H, W]; the result has its type and memory order.
//
// One pass for float and bfloat16 pictures on the CPU, contiguous or in channels_last, where the module's weights and
// statistics are float, as under autocast; LibTorch's own operations for everything else. Float numbers are LibTorch's
// to rounding. Of bfloat16 pictures all arithmetic is in float and each result is rounded once, where LibTorch rounds
// between the two operations. The same bits for any number of threads.
torch::Tensor batch_norm_silu(const torch::Tensor& x, torch::nn::BatchNorm2d& bn, bool activate);

}  // namespace ferrun::model
