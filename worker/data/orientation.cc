#include "worker/data/orientation.h"

#include <bit>
#include <string>
#include <string_view>

namespace ferrun::data {
namespace {

constexpr uint16_t kOrientationTag = 0x0112;
constexpr uint32_t kShort = 3, kLong = 4, kSByte = 6, kSShort = 8, kSLong = 9, kFloat = 11;
constexpr std::string_view kExif("Exif\0\0", 6);
constexpr std::string_view kXmp("http://ns.adobe.com/xap/1.0/\0", 29);

// The TIFF structure that EXIF is. Reads beyond its end are zero.
class Tiff {
 public:
  explicit Tiff(std::string_view bytes) : bytes_(bytes), little_(bytes.starts_with("II")) {}

  bool is_valid() const { return (little_ || bytes_.starts_with("MM")) && number(2, 2) == 42; }

  // `count` (1, 2 or 4) bytes at `at`.
  uint32_t number(uint64_t at, int count) const {
    if (at + static_cast<uint64_t>(count) > bytes_.size()) return 0;
    uint32_t value = 0;
    for (int i = 0; i < count; ++i) {
      const int shift = 8 * (little_ ? i : count - 1 - i);
      value |= static_cast<uint32_t>(static_cast<uint8_t>(bytes_[at + static_cast<uint64_t>(i)])) << shift;
    }
    return value;
  }

 private:
  std::string_view bytes_;
  bool little_;
};

// The length of a value of that type of TIFF 6.0 which Pillow reads as a number; 0: a type that is none to it.
int bytes_of_number(uint32_t type) {
  switch (type) {
    case kSByte: return 1;
    case kShort:
    case kSShort: return 2;
    case kLong:
    case kSLong:
    case kFloat: return 4;
    default: return 0;
  }
}

// The first value of the entry; 0 where it is not one of the small whole numbers that turn a picture.
int value_of(const Tiff& tiff, uint64_t entry) {
  const uint32_t type = tiff.number(entry + 2, 2);
  const int length = bytes_of_number(type);
  const uint64_t count = tiff.number(entry + 4, 4);
  if (length == 0 || count == 0) return 0;
  const bool inside = static_cast<uint64_t>(length) * count <= 4;
  const uint32_t bits = tiff.number(inside ? entry + 8 : tiff.number(entry + 8, 4), length);
  if (type != kFloat) return bits <= 8 ? static_cast<int>(bits) : 0;
  for (int value = 1; value <= 8; ++value) {
    if (std::bit_cast<float>(bits) == static_cast<float>(value)) return value;
  }
  return 0;
}

std::optional<int> tiff_orientation(std::string_view bytes) {
  const Tiff tiff(bytes);
  if (!tiff.is_valid()) return std::nullopt;
  const uint64_t directory = tiff.number(4, 4);
  const uint32_t entries = tiff.number(directory, 2);
  for (uint32_t i = 0; i < entries; ++i) {
    const uint64_t entry = directory + 2 + uint64_t{12} * i;
    if (tiff.number(entry, 2) == kOrientationTag) return value_of(tiff, entry);
  }
  return std::nullopt;
}

// tiff:Orientation="6" or <tiff:Orientation>6</…>.
std::optional<int> xmp_orientation(std::string_view text) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (size_t at = 0; (at = text.find(kName, at)) != std::string_view::npos;) {
    at += kName.size();
    std::string_view value = text.substr(at);
    if (value.starts_with("=\"")) {
      value.remove_prefix(2);
    } else if (value.starts_with('>')) {
      value.remove_prefix(1);
    } else {
      continue;
    }
    if (!value.empty() && value[0] >= '0' && value[0] <= '9') return value[0] - '0';
  }
  return std::nullopt;
}

}  // namespace

int jpeg_orientation(const std::vector<std::span<const uint8_t>>& segments) {
  std::string exif;  // one that is too long for a segment goes on in the next
  std::optional<int> xmp;
  for (const std::span<const uint8_t> segment : segments) {
    const std::string_view text(reinterpret_cast<const char*>(segment.data()), segment.size());
    if (text.starts_with(kExif)) exif += text.substr(kExif.size());
    if (text.starts_with(kXmp)) xmp = xmp_orientation(text.substr(kXmp.size()));
  }
  if (const std::optional<int> orientation = tiff_orientation(exif)) return *orientation;
  return xmp.value_or(1);
}

std::optional<Transposition> transposition_of(int orientation) {
  switch (orientation) {
    case 2: return Transposition::kFlipLeftRight;
    case 3: return Transposition::kRotate180;
    case 4: return Transposition::kFlipTopBottom;
    case 5: return Transposition::kTranspose;
    case 6: return Transposition::kRotate270;
    case 7: return Transposition::kTransverse;
    case 8: return Transposition::kRotate90;
    default: return std::nullopt;
  }
}

}  // namespace ferrun::data
