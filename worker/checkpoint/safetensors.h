// The safetensors format (https://github.com/huggingface/safetensors#format): the length of a JSON header as 8
// little-endian bytes, the header, the tensors. Free of LibTorch.
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/archive_reader.h"
#include "worker/checkpoint/byte_sink.h"

namespace ferrun::checkpoint {

// As open_archive. Trusts nothing in the file.
Result<Archive> open_safetensors(const ByteSource& source);

struct NamedStorage {
  std::string name;
  StoredTensor tensor;  // contiguous
  std::span<const uint8_t> bytes;
};

// Writes the tensors, those of wide elements first so that all are aligned, then by name; equal arguments give equal
// bytes. Failure: the sink's, an element type that the format lacks, or a name that is no UTF-8.
Status write_safetensors(ByteSink& sink, std::vector<NamedStorage> tensors,
                         const std::map<std::string, std::string>& metadata);

}  // namespace ferrun::checkpoint
