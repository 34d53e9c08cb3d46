#include "worker/checkpoint/zip_reader.h"

#include <algorithm>
#include <array>
#include <optional>

#include "worker/checkpoint/file_format.h"
#include "worker/checkpoint/zip_format.h"

namespace ferrun::checkpoint {
namespace {

using zip::get;

constexpr uint64_t kMaxDirectoryBytes = uint64_t{1} << 28;

Error corrupt(const std::string& what) { return {ErrorKind::kUser, "is corrupt: " + what}; }

// PyTorch's archives have one root folder with everything in it.
Error another_zip(const std::string& name) {
  return {ErrorKind::kUser, "is a zip file, but no PyTorch checkpoint ('" + name.substr(0, 64) +
                                "' stands outside of a root folder): if it was packed for the way, unzip it first"};
}

// The body of the extra field with this id.
std::optional<std::span<const uint8_t>> find_extra(std::span<const uint8_t> extra, uint16_t id) {
  while (extra.size() >= 4) {
    const size_t length = get<2>(extra, 2);
    if (length > extra.size() - 4) return std::nullopt;
    if (get<2>(extra, 0) == id) return extra.subspan(4, length);
    extra = extra.subspan(4 + length);
  }
  return std::nullopt;
}

}  // namespace

Result<ZipReader> ZipReader::open(const ByteSource& source) {
  auto directory = find_directory(source);
  if (!directory) return directory.error();
  ZipReader reader(source);
  if (auto read = reader.read_directory(*directory); !read) return read.error();
  return reader;
}

Result<ZipReader::Directory> ZipReader::find_directory(const ByteSource& source) {
  if (source.size() < zip::kEndSize) return describe_foreign_file(source);
  // The end record is last, but for a comment of at most 65535 bytes.
  const uint64_t length = std::min<uint64_t>(source.size(), zip::kEndSize + 0xffff);
  std::vector<uint8_t> tail(length);
  if (auto got = source.read_at(source.size() - length, tail); !got) return got.error();
  for (size_t at = length - zip::kEndSize + 1; at-- > 0;) {
    if (get<4>(tail, at) != zip::kEnd || at + zip::kEndSize + get<2>(tail, at + 20) != length) continue;
    const Directory directory{get<4>(tail, at + 16), get<4>(tail, at + 12), get<2>(tail, at + 10)};
    const bool zip64 = directory.offset == zip::kSeeZip64 || directory.size == zip::kSeeZip64 ||
                       directory.entries == zip::kSeeZip64Short;
    return zip64 ? read_zip64_end(source, source.size() - length + at) : Result<Directory>(directory);
  }
  return describe_foreign_file(source);
}

Result<ZipReader::Directory> ZipReader::read_zip64_end(const ByteSource& source, uint64_t end_offset) {
  std::array<uint8_t, zip::kEnd64LocatorSize> locator{};
  if (end_offset < locator.size()) return corrupt("its zip64 end record is missing");
  if (auto got = source.read_at(end_offset - locator.size(), locator); !got) return got.error();
  std::array<uint8_t, zip::kEnd64Size> end{};
  const uint64_t offset = get<8>(locator, 8);
  if (get<4>(locator, 0) != zip::kEnd64Locator || offset > end_offset || end_offset - offset < end.size()) {
    return corrupt("its zip64 end record is missing");
  }
  if (auto got = source.read_at(offset, end); !got) return got.error();
  if (get<4>(end, 0) != zip::kEnd64) return corrupt("its zip64 end record is missing");
  return Directory{get<8>(end, 48), get<8>(end, 40), get<8>(end, 32)};
}

Status ZipReader::read_directory(const Directory& directory) {
  if (directory.size > kMaxDirectoryBytes) return corrupt("its directory is too long");
  if (directory.offset > source_->size() || directory.size > source_->size() - directory.offset) {
    return corrupt("its directory lies outside the file");
  }
  directory_offset_ = directory.offset;
  std::vector<uint8_t> bytes(directory.size);
  if (auto got = source_->read_at(directory.offset, bytes); !got) return got.error();
  std::span<const uint8_t> rest(bytes);
  for (uint64_t i = 0; i < directory.entries; ++i) {
    if (rest.size() < zip::kDirectoryEntrySize || get<4>(rest, 0) != zip::kDirectoryEntry) {
      return corrupt("its directory is damaged");
    }
    const size_t name = get<2>(rest, 28), extra = get<2>(rest, 30), comment = get<2>(rest, 32);
    if (rest.size() - zip::kDirectoryEntrySize < name + extra + comment) return corrupt("its directory is damaged");
    const auto text = rest.subspan(zip::kDirectoryEntrySize, name);
    auto added = add_record(rest.first(zip::kDirectoryEntrySize), std::string(text.begin(), text.end()),
                            rest.subspan(zip::kDirectoryEntrySize + name, extra));
    if (!added) return added;
    rest = rest.subspan(zip::kDirectoryEntrySize + name + extra + comment);
  }
  return ok_status();
}

Status ZipReader::add_record(std::span<const uint8_t> entry, const std::string& full_name,
                             std::span<const uint8_t> extra) {
  const size_t slash = full_name.find('/');
  if (slash == std::string::npos) return another_zip(full_name);
  if (root_.empty()) root_ = full_name.substr(0, slash + 1);
  if (full_name.compare(0, root_.size(), root_) != 0) return another_zip(full_name);
  const std::string name = full_name.substr(root_.size());
  if (get<2>(entry, 8) & zip::kFlagEncrypted) return corrupt("the record " + name + " is encrypted");

  Record record{get<4>(entry, 42), get<4>(entry, 24), static_cast<uint32_t>(get<4>(entry, 16)), full_name.size(),
                get<2>(entry, 10) != 0};
  // The zip64 field holds, in this order, only the values that do not fit above.
  auto wide = find_extra(extra, zip::kExtraZip64);
  uint64_t packed_size = get<4>(entry, 20);
  for (auto [held, value] : {std::pair{&record.size, get<4>(entry, 24)},
                             {&packed_size, get<4>(entry, 20)},
                             {&record.header_offset, get<4>(entry, 42)}}) {
    if (value != zip::kSeeZip64) continue;
    if (!wide || wide->size() < 8) return corrupt("the record " + name + " lacks its zip64 sizes");
    *held = get<8>(*wide, 0);
    wide = wide->subspan(8);
  }
  // TorchScript's archives compress their code; what is compressed is never read, and takes its place in the file.
  if (record.is_compressed) record.size = packed_size;
  if (record.size > source_->size() - total_size_) return corrupt("its records overlap");
  total_size_ += record.size;
  if (!records_.emplace(name, record).second) return corrupt("the record " + name + " appears twice");
  return ok_status();
}

std::vector<std::string> ZipReader::names() const {
  std::vector<std::string> names;
  for (const auto& entry : records_) names.push_back(entry.first);
  return names;
}

uint64_t ZipReader::size(const std::string& name) const {
  const auto found = records_.find(name);
  return found == records_.end() ? 0 : found->second.size;
}

Status ZipReader::read(const std::string& name, std::span<uint8_t> into) const {
  const auto found = records_.find(name);
  if (found == records_.end()) return corrupt("the record " + name + " is missing");
  const Record& record = found->second;
  if (record.is_compressed) return corrupt("the record " + name + " is compressed, which torch.save never does");
  std::array<uint8_t, zip::kLocalHeaderSize> header{};
  if (record.header_offset > directory_offset_ || directory_offset_ - record.header_offset < header.size()) {
    return corrupt("the record " + name + " lies outside the file");
  }
  if (auto got = source_->read_at(record.header_offset, header); !got) return got.error();
  if (get<4>(header, 0) != zip::kLocalHeader || get<2>(header, 26) != record.full_name_length) {
    return corrupt("the record " + name + " is not where the directory says");
  }
  const uint64_t begin = record.header_offset + header.size() + get<2>(header, 26) + get<2>(header, 28);
  if (begin > directory_offset_ || directory_offset_ - begin < record.size || into.size() != record.size) {
    return corrupt("the record " + name + " lies outside the file");
  }
  if (auto got = source_->read_at(begin, into); !got) return got.error();
  if (zip::checksum(into) != record.crc) return corrupt("the checksum of its record " + name + " does not match");
  return ok_status();
}

}  // namespace ferrun::checkpoint
