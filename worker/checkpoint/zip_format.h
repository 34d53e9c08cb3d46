// Numbers of the zip format (PKWARE's APPNOTE 6.3) that reader and writer share, and little-endian access.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ferrun::checkpoint::zip {

inline constexpr uint32_t kLocalHeader = 0x04034b50;
inline constexpr uint32_t kDataDescriptor = 0x08074b50;
inline constexpr uint32_t kDirectoryEntry = 0x02014b50;
inline constexpr uint32_t kEnd = 0x06054b50;
inline constexpr uint32_t kEnd64 = 0x06064b50;
inline constexpr uint32_t kEnd64Locator = 0x07064b50;
inline constexpr uint16_t kExtraZip64 = 0x0001;
inline constexpr uint16_t kFlagEncrypted = 0x0001;

inline constexpr size_t kLocalHeaderSize = 30;
inline constexpr size_t kDirectoryEntrySize = 46;
inline constexpr size_t kEndSize = 22;
inline constexpr size_t kEnd64Size = 56;
inline constexpr size_t kEnd64LocatorSize = 20;
inline constexpr uint32_t kSeeZip64 = 0xffffffff;   // a 32-bit field whose value stands in the zip64 extra field
inline constexpr uint16_t kSeeZip64Short = 0xffff;  // the same for a 16-bit field

// The CRC-32 that every record carries.
uint32_t checksum(std::span<const uint8_t> bytes);

// The little-endian number of `Width` bytes at `position`, which must lie inside.
template <size_t Width>
uint64_t get(std::span<const uint8_t> bytes, size_t position) {
  uint64_t number = 0;
  for (size_t i = 0; i < Width; ++i) number |= uint64_t{bytes[position + i]} << (8 * i);
  return number;
}

template <size_t Width>
void put(std::string& bytes, uint64_t number) {
  for (size_t i = 0; i < Width; ++i) bytes.push_back(static_cast<char>(number >> (8 * i)));
}

}  // namespace ferrun::checkpoint::zip
