// Reads files of torch.save (its zip format and the legacy one, pickle protocol 2) and safetensors, without Python and
// without executing anything in them.
#pragma once

#include <string>

#include "common/result.h"
#include "worker/checkpoint/byte_source.h"
#include "worker/checkpoint/value.h"

namespace ferrun::checkpoint {

// Tensors come on the CPU with their strides. A folder of torch.distributed.checkpoint is read by
// read_distributed(); of an index of several files (*.index.json) all of them, as one state_dict. A file that is
// missing, truncated, corrupt or of another kind gives one line naming the file, what is wrong and what helps. Bounds
// are checked before memory is taken. Of safetensors: see open_archive.
Result<Value> read(const std::string& path);

// The same from any source; `name` stands for the file in messages. Each tensor's bytes are read once, into their
// place. What is read, and in which order, follows from the source's bytes alone.
Result<Value> read(const ByteSource& source, const std::string& name);

}  // namespace ferrun::checkpoint
