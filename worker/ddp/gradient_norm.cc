#include "worker/ddp/gradient_norm.h"

#include <ATen/ops/_foreach_clamp_max.h>
#include <ATen/ops/_foreach_clamp_min.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <cmath>

#include "worker/ddp/unique_tensors.h"

namespace ferrun::ddp {
namespace {

std::vector<at::Tensor> gradients_of(const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : without_repeats(parameters)) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  return gradients;
}

at::Tensor norm_of(const std::vector<at::Tensor>& gradients, double type) {
  if (gradients.empty()) return at::zeros({}, at::kFloat);
  return at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients, type)), type);
}

}  // namespace

at::Tensor grad_norm(const std::vector<at::Tensor>& parameters) {
  const c10::NoGradGuard no_grad;
  return norm_of(gradients_of(parameters), 2.0);
}

at::Tensor clip_grad_norm(const std::vector<at::Tensor>& parameters, double max_norm, const ClipOptions& options) {
  const c10::NoGradGuard no_grad;
  const std::vector<at::Tensor> gradients = gradients_of(parameters);
  const at::Tensor norm = norm_of(gradients, options.norm_type);
  TORCH_CHECK(!options.error_if_nonfinite || std::isfinite(norm.item<double>()), "the gradients' norm of type ",
              options.norm_type, " is ", norm.item<double>(), ": they cannot be clipped by it");
  // Python divides a number by a tensor in this way.
  if (!gradients.empty()) at::_foreach_mul_(gradients, norm.add(1e-6).reciprocal().mul(max_norm).clamp_max(1.0));
  return norm;
}

void clip_grad_value(const std::vector<at::Tensor>& parameters, double clip_value) {
  const c10::NoGradGuard no_grad;
  const std::vector<at::Tensor> gradients = gradients_of(parameters);
  if (gradients.empty()) return;
  at::_foreach_clamp_min_(gradients, -clip_value);
  at::_foreach_clamp_max_(gradients, clip_value);
}

at::Tensor not_finite(const at::Tensor& number) {
  const c10::NoGradGuard no_grad;
  return at::isfinite(number).logical_not().to(at::kFloat);
}

}  // namespace ferrun::ddp
