// A checkpoint file opened and checked, its tensors not yet read: zip archive and pickle together, free of LibTorch.
#pragma once

#include <string>

#include "common/result.h"
#include "worker/checkpoint/stored_tensor.h"
#include "worker/checkpoint/zip_reader.h"

namespace ferrun::checkpoint {

struct Archive {
  ZipReader records;
  // Every tensor in it lies inside its storage, and the storage's record is there and long enough.
  StoredTree tree;
};

// `source` must outlive the archive. Failure is one line without the file's name.
Result<Archive> open_archive(const ByteSource& source);

// The record that holds the storage with this key.
std::string storage_record(const std::string& key);

}  // namespace ferrun::checkpoint
