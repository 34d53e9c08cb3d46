// Bytes that can be read at any position: a file, or memory in tests. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "common/result.h"

namespace ferrun::checkpoint {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size() const = 0;
  // Fills `into` from `offset`. Failure: the range is not wholly inside the source, or it cannot be read.
  virtual Status read_at(uint64_t offset, std::span<uint8_t> into) const = 0;
};

class MemorySource final : public ByteSource {
 public:
  // Keeps a view: `bytes` must outlive it.
  explicit MemorySource(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  Status read_at(uint64_t offset, std::span<uint8_t> into) const override;

 private:
  std::span<const uint8_t> bytes_;
};

// A part of another source.
class RangeSource final : public ByteSource {
 public:
  // Keeps a reference; the range lies inside `whole`.
  RangeSource(const ByteSource& whole, uint64_t offset, uint64_t size) : whole_(whole), offset_(offset), size_(size) {}
  uint64_t size() const override { return size_; }
  Status read_at(uint64_t offset, std::span<uint8_t> into) const override;

 private:
  const ByteSource& whole_;
  uint64_t offset_;
  uint64_t size_;
};

// A regular file. Failure is one line without the path: not there, not readable, a folder. It is read, not mapped: a
// file that another program shortens meanwhile is then an error and not a SIGBUS.
Result<std::unique_ptr<ByteSource>> open_file_source(const std::string& path);

}  // namespace ferrun::checkpoint
