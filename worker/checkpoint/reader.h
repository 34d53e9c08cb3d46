// Reads files of torch.save (zip format, pickle protocol 2) without Python and without executing anything in them.
#pragma once

#include <string>

#include "common/result.h"
#include "worker/checkpoint/value.h"

namespace ferrun::checkpoint {

// Tensors come on the CPU with their strides. A file that is missing, truncated, corrupt, of the legacy (non-zip)
// format or no checkpoint at all gives one line naming the file and what is wrong. Bounds are checked before memory is
// taken.
Result<Value> read(const std::string& path);

}  // namespace ferrun::checkpoint
