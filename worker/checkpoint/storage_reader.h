// The bytes behind a checkpoint's tensors, whatever file format they lie in. Free of LibTorch.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "common/result.h"
#include "worker/checkpoint/byte_source.h"

namespace ferrun::checkpoint {

// Storages by StoredTensor::storage_key. Not thread-safe.
class StorageReader {
 public:
  virtual ~StorageReader() = default;
  virtual bool has(const std::string& key) const = 0;
  // Length in bytes, never more than the file's; 0 for a storage that is not there.
  virtual uint64_t size(const std::string& key) const = 0;
  // Fills `into`, whose length must be size(key).
  virtual Status read(const std::string& key, std::span<uint8_t> into) const = 0;
};

// Storages that lie in the file as they are.
class RangeStorages final : public StorageReader {
 public:
  struct Range {
    uint64_t offset = 0;
    uint64_t size = 0;
  };
  // `source` must outlive the reader; every range lies inside it.
  RangeStorages(const ByteSource& source, std::map<std::string, Range> ranges)
      : source_(source), ranges_(std::move(ranges)) {}

  bool has(const std::string& key) const override { return ranges_.count(key) != 0; }
  uint64_t size(const std::string& key) const override { return has(key) ? ranges_.at(key).size : 0; }
  Status read(const std::string& key, std::span<uint8_t> into) const override {
    if (!has(key)) return Error{ErrorKind::kUser, "is corrupt: its storage " + key + " is missing"};
    return source_.read_at(ranges_.at(key).offset, into);
  }

 private:
  const ByteSource& source_;
  std::map<std::string, Range> ranges_;
};

}  // namespace ferrun::checkpoint
