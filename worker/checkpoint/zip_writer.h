// Writes a zip archive as PyTorch lays it out, byte for byte: uncompressed, every record's data at a multiple of 64
// bytes, no time stamps. Hence equal content gives equal files, and torch.load can map them into memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "common/result.h"
#include "worker/checkpoint/byte_sink.h"

namespace ferrun::checkpoint {

class ZipWriter {
 public:
  // Records stand below the folder `root`. `sink` must outlive the writer.
  ZipWriter(ByteSink& sink, std::string root) : sink_(sink), root_(std::move(root)) {}

  // Failure: the sink's. Names must be unique.
  Status add(const std::string& name, std::span<const uint8_t> data);
  // Adds the identity that PyTorch expects, made from names and checksums, and the directory. Call once, last.
  Status finish();

 private:
  Status emit(const std::string& bytes);

  ByteSink& sink_;
  std::string root_;
  uint64_t position_ = 0;
  uint64_t entries_ = 0;
  std::string directory_;
  uint64_t names_hash_ = 0xcbf29ce484222325;
  uint64_t content_hash_ = 0xcbf29ce484222325;
};

}  // namespace ferrun::checkpoint
