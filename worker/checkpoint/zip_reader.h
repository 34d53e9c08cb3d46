// The records of a PyTorch zip archive: uncompressed, below one root folder. Trusts nothing in the file.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/checkpoint/byte_source.h"

namespace ferrun::checkpoint {

class ZipReader {
 public:
  // Reads the directory. `source` must outlive the reader. Failure is one line without the file's name; a truncated
  // archive and files of other kinds are told apart.
  static Result<ZipReader> open(const ByteSource& source);

  // Record names without the root folder ("data.pkl", "data/0").
  std::vector<std::string> names() const;
  bool has(const std::string& name) const { return records_.count(name) != 0; }
  // Length in bytes; 0 for a record that is not there. The lengths of all records together never exceed the file's.
  uint64_t size(const std::string& name) const;
  // Fills `into`, whose length must be size(name), and verifies the checksum.
  Status read(const std::string& name, std::span<uint8_t> into) const;

 private:
  struct Record {
    uint64_t header_offset = 0;
    uint64_t size = 0;
    uint32_t crc = 0;
    size_t full_name_length = 0;
    bool is_compressed = false;
  };
  struct Directory {
    uint64_t offset = 0;
    uint64_t size = 0;
    uint64_t entries = 0;
  };

  explicit ZipReader(const ByteSource& source) : source_(&source) {}
  static Result<Directory> find_directory(const ByteSource& source);
  static Result<Directory> read_zip64_end(const ByteSource& source, uint64_t end_offset);
  Status read_directory(const Directory& directory);
  Status add_record(std::span<const uint8_t> entry, const std::string& full_name, std::span<const uint8_t> extra);

  const ByteSource* source_;
  std::string root_;  // with its slash
  uint64_t directory_offset_ = 0;
  uint64_t total_size_ = 0;
  std::map<std::string, Record> records_;
};

}  // namespace ferrun::checkpoint
