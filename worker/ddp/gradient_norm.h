// The gradients' norm: for clipping, and to notice a step whose gradients are not finite before it spoils the weights.
//
//   const at::Tensor norm = max_norm > 0 ? clip_grad_norm(parameters, max_norm) : grad_norm(parameters);
//   const at::Tensor skipped = not_finite(norm);
//   optimizer.step({}, skipped);   // leaves weights and state as they were when a gradient was not finite
//   skipped_steps.add_(skipped);   // fetched when the step's other numbers are
//
// Nothing here is fetched from the device; the norm reads each gradient once. Gradients that the ranks have averaged
// are equal on all of them, and so are these numbers: every rank skips alike. A loss that is not finite needs no check
// of its own: its sum over the ranks, which the trainer fetches anyway, is then not finite either, and neither are its
// gradients. Thread rule: one thread.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace ferrun::ddp {

struct ClipOptions {
  double norm_type = 2.0;           // of all gradients as if they were one vector; infinity: the largest element
  bool error_if_nonfinite = false;  // throws c10::Error where the norm is infinite or NaN; waits for the device
};

// The 2-norm of all gradients as if they were one vector, one element on their device; 0 without any. Infinite or NaN
// where a gradient is, and where the sum of squares leaves float's range (a norm above 1.8e19).
at::Tensor grad_norm(const std::vector<at::Tensor>& parameters);

// torch.nn.utils.clip_grad_norm_ with its numbers, bit for bit: multiplies the gradients in place by
// min(max_norm / (norm + 1e-6), 1). Returns the norm before; when that is not finite, the gradients are spoilt.
at::Tensor clip_grad_norm(const std::vector<at::Tensor>& parameters, double max_norm, const ClipOptions& options = {});

// torch.nn.utils.clip_grad_value_: each number of each gradient into -clip_value … clip_value, in place.
void clip_grad_value(const std::vector<at::Tensor>& parameters, double clip_value);

// 1 when the number is infinite or NaN, else 0: a float on its device, as Optimizer::step takes it for `found_inf`.
at::Tensor not_finite(const at::Tensor& number);

}  // namespace ferrun::ddp
