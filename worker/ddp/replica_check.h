// Whether all ranks still hold the same weights. They do as long as every rank takes the same steps; a rank with a
// broken memory, another library or a missed step would train on unnoticed, and its gradients spoil everybody's.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "worker/ddp/process_group.h"

namespace ferrun::ddp {

// A digest of shapes and bytes, equal for equal tensors wherever they lie and however their strides are. Not one for
// adversaries.
uint64_t digest(const std::vector<at::Tensor>& tensors);

// A collective: the ranks whose tensors differ from rank 0's, the same list on every rank; empty when all agree.
std::vector<int> ranks_that_differ(const std::vector<at::Tensor>& tensors, ProcessGroup& group);

}  // namespace ferrun::ddp
