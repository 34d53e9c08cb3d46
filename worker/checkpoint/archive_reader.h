// A checkpoint file opened and checked, its tensors not yet read: a zip archive of torch.save, its legacy format, or
// safetensors. Free of LibTorch.
#pragma once

#include <memory>
#include <string>

#include "common/result.h"
#include "worker/checkpoint/storage_reader.h"
#include "worker/checkpoint/stored_tensor.h"

namespace ferrun::checkpoint {

struct Archive {
  // Every tensor in it lies inside its storage, and the storage is there and long enough.
  StoredTree tree;
  std::unique_ptr<StorageReader> storages;
};

// `source` must outlive the archive. Failure is one line without the file's name. A safetensors file gives
// {"state_dict": its tensors, "metadata": its texts}.
Result<Archive> open_archive(const ByteSource& source);

// The record of a zip archive that holds the storage with this key.
std::string storage_record(const std::string& key);

}  // namespace ferrun::checkpoint
