// A value as the file formats take it: numbers in place of tensors, and the tensors' bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/stored_tensor.h"
#include "worker/checkpoint/value.h"

namespace ferrun::checkpoint {

struct StoredValue {
  StoredTree tree;
  std::vector<at::Tensor> kept;  // keeps the bytes alive
  std::vector<std::span<const uint8_t>> storages;
};

// Tensors contiguous and on the CPU, each with a storage of its own; neither copies what is so already. Failure: a
// tensor of a kind that checkpoints cannot store.
Result<StoredValue> store(const Value& value);

}  // namespace ferrun::checkpoint
