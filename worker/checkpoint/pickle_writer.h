// Pickles a checkpoint's tree as protocol 2, with the names that torch.load(weights_only=True) allows.
#pragma once

#include <string>

#include "common/result.h"
#include "worker/checkpoint/stored_tensor.h"

namespace ferrun::checkpoint {

// The bytes of data.pkl. Equal trees give equal bytes. Failure: an Opaque, or a tensor type without a storage class.
Result<std::string> write_pickle(const StoredTree& tree);

}  // namespace ferrun::checkpoint
