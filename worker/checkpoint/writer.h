// Writes files that torch.load(weights_only=True) reads, so that a crash at any moment leaves the old file or the new.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "common/result.h"
#include "worker/checkpoint/file_system.h"
#include "worker/checkpoint/value.h"

namespace ferrun::checkpoint {

struct WriteOptions {
  // Where the replaced file stays reachable, if anywhere; in the same folder.
  std::optional<std::string> previous_path;
  FileSystem* files = nullptr;  // the machine's when null; tests give their own
};

// Writes `value` beside `path` (same folder, a temporary name), syncs it, renames it over `path` and syncs the folder.
// On failure (full disk, no permission) `path` is as it was, the temporary file is gone, and the error names both.
// Tensors are written contiguous, from the CPU, each with a storage of its own; dicts as Python dicts. Equal values
// give equal files, whatever the path and the tensors' strides and devices.
Status write_atomically(const std::string& path, const Value& value, const WriteOptions& options = {});

// Likewise a state_dict in the safetensors format, with texts beside it.
Status write_safetensors_atomically(const std::string& path, const Value& state_dict,
                                    const std::map<std::string, std::string>& metadata,
                                    const WriteOptions& options = {});

}  // namespace ferrun::checkpoint
