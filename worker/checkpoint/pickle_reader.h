// A pickle machine for what torch.save writes (protocol 2). Nothing in the file is executed: a closed list of PyTorch's
// and Python's builders is understood, objects of any other class become Opaque.
#pragma once

#include <cstdint>
#include <span>

#include "common/result.h"
#include "worker/checkpoint/stored_tensor.h"

namespace ferrun::checkpoint {

// The value that the pickle builds; every StoredTensor in it has passed check_layout against the storage length that
// the pickle itself claims. Failure is one line. Time and memory are bounded by a multiple of the input's length:
// shared, nested or self-containing containers cannot multiply them.
Result<StoredTree> read_pickle(std::span<const uint8_t> pickle);

}  // namespace ferrun::checkpoint
