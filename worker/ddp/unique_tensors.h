// Parameters and buffers as Python's Module lists them: a tensor that a module has under two names (tied weights) once,
// where torch::nn::Module's lists have it at each.
// Thread rule: none of its own.
#pragma once

#include <ATen/core/Tensor.h>

#include <unordered_set>
#include <vector>

namespace ferrun::ddp {

// In their order, at the first place of each; without those that are undefined.
inline std::vector<at::Tensor> without_repeats(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> unique;
  std::unordered_set<const void*> seen;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined() && seen.insert(tensor.unsafeGetTensorImpl()).second) unique.push_back(tensor);
  }
  return unique;
}

}  // namespace ferrun::ddp
