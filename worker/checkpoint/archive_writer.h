// Writes a whole checkpoint file, with the records that torch.save of PyTorch 2.x writes. Free of LibTorch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/byte_sink.h"
#include "worker/checkpoint/stored_tensor.h"

namespace ferrun::checkpoint {

// The tensors of `tree` refer to `storages` by their index as storage_key. Nothing but the arguments decides the bytes.
// Failure: the sink's, or a value that cannot be pickled.
Status write_archive(ByteSink& sink, const StoredTree& tree, const std::vector<std::span<const uint8_t>>& storages);

}  // namespace ferrun::checkpoint
