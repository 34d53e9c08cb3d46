#include "worker/checkpoint/zip_writer.h"

#include <algorithm>
#include <string_view>

#include "worker/checkpoint/zip_format.h"

namespace ferrun::checkpoint {
namespace {

using zip::put;

constexpr uint64_t kAlignment = 64;
constexpr uint16_t kFlags = 0x0808;  // UTF-8 names; sizes follow the data
// What PyTorch's writer says of itself: written on Unix by version 3.0, to be read by version 4.5 (zip64).
constexpr uint16_t kMadeBy = 0x031e;
constexpr uint16_t kNeeded = 45;

std::span<const uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

uint64_t fnv1a(uint64_t hash, std::string_view bytes) {
  for (char byte : bytes) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  return hash;
}

std::string twenty_digits(uint64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(20 - digits.size(), '0') + digits;
}

// The zip64 field with the values that do not fit into 32 bits; empty when all do.
std::string zip64_field(uint64_t size, uint64_t offset) {
  std::string values;
  if (size >= zip::kSeeZip64) {
    put<8>(values, size);
    put<8>(values, size);
  }
  if (offset >= zip::kSeeZip64) put<8>(values, offset);
  if (values.empty()) return values;
  std::string field;
  put<2>(field, zip::kExtraZip64);
  put<2>(field, values.size());
  return field + values;
}

// An unused field ("FB") of such length that the data after a header that ends at `position` begins aligned.
std::string padding_field(uint64_t position) {
  const uint64_t length = (kAlignment - (position + 4) % kAlignment) % kAlignment;
  std::string field = "FB";
  put<2>(field, length);
  return field.append(length, 'Z');
}

uint64_t narrow(uint64_t value) { return std::min<uint64_t>(value, zip::kSeeZip64); }

}  // namespace

Status ZipWriter::emit(const std::string& bytes) {
  position_ += bytes.size();
  return sink_.write(as_bytes(bytes));
}

Status ZipWriter::add(const std::string& name, std::span<const uint8_t> data) {
  const std::string full_name = root_ + "/" + name;
  const uint64_t header_offset = position_;
  const uint32_t crc = zip::checksum(data);
  const std::string zip64 = zip64_field(data.size(), header_offset);
  const std::string padding = padding_field(position_ + zip::kLocalHeaderSize + full_name.size() + zip64.size());

  std::string header;
  put<4>(header, zip::kLocalHeader);
  put<2>(header, 0);
  put<2>(header, kFlags);
  header.append(18, '\0');  // method: stored; no time; checksum and sizes stand behind the data
  put<2>(header, full_name.size());
  put<2>(header, zip64.size() + padding.size());
  if (auto wrote = emit(header + full_name + zip64 + padding); !wrote) return wrote;
  position_ += data.size();
  if (auto wrote = sink_.write(data); !wrote) return wrote;

  std::string descriptor;
  put<4>(descriptor, zip::kDataDescriptor);
  put<4>(descriptor, crc);
  for (int i = 0; i < 2; ++i) zip64.empty() ? put<4>(descriptor, data.size()) : put<8>(descriptor, data.size());
  if (auto wrote = emit(descriptor); !wrote) return wrote;

  put<4>(directory_, zip::kDirectoryEntry);
  put<4>(directory_, 0);
  put<2>(directory_, kFlags);
  directory_.append(6, '\0');
  put<4>(directory_, crc);
  put<4>(directory_, narrow(data.size()));
  put<4>(directory_, narrow(data.size()));
  put<2>(directory_, full_name.size());
  put<2>(directory_, zip64.size());
  directory_.append(10, '\0');
  put<4>(directory_, narrow(header_offset));
  directory_ += full_name + zip64;
  ++entries_;
  names_hash_ = fnv1a(names_hash_, name);
  content_hash_ = fnv1a(content_hash_, std::to_string(crc) + "/");
  return ok_status();
}

Status ZipWriter::finish() {
  const std::string identity = twenty_digits(names_hash_) + twenty_digits(content_hash_);
  if (auto wrote = add(".data/serialization_id", as_bytes(identity)); !wrote) return wrote;
  const uint64_t directory_offset = position_;
  if (auto wrote = emit(directory_); !wrote) return wrote;
  const uint64_t end64_offset = position_;

  std::string end;
  put<4>(end, zip::kEnd64);
  put<8>(end, zip::kEnd64Size - 12);
  put<2>(end, kMadeBy);
  put<2>(end, kNeeded);
  put<8>(end, 0);
  put<8>(end, entries_);
  put<8>(end, entries_);
  put<8>(end, directory_.size());
  put<8>(end, directory_offset);
  put<4>(end, zip::kEnd64Locator);
  put<4>(end, 0);
  put<8>(end, end64_offset);
  put<4>(end, 1);
  put<4>(end, zip::kEnd);
  put<4>(end, 0);
  put<2>(end, std::min<uint64_t>(entries_, zip::kSeeZip64Short));
  put<2>(end, std::min<uint64_t>(entries_, zip::kSeeZip64Short));
  put<4>(end, narrow(directory_.size()));
  put<4>(end, narrow(directory_offset));
  put<2>(end, 0);
  return emit(end);
}

}  // namespace ferrun::checkpoint
