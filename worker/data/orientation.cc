#include "worker/data/orientation.h"

#include <string>
#include <string_view>

namespace ferrun::data {
namespace {

constexpr uint16_t kOrientationTag = 0x0112;
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

std::optional<int> tiff_orientation(std::string_view bytes) {
  const Tiff tiff(bytes);
  if (!tiff.is_valid()) return std::nullopt;
  const uint64_t directory = tiff.number(4, 4);
  const uint32_t entries = tiff.number(directory, 2);
  for (uint32_t i = 0; i < entries; ++i) {
    const uint64_t entry = directory + 2 + uint64_t{12} * i;
    if (tiff.number(entry, 2) != kOrientationTag) continue;
    const uint32_t type = tiff.number(entry + 2, 2);
    const int bytes_of_type = type == 1 ? 1 : type == 3 ? 2 : type == 4 ? 4 : 0;  // BYTE, SHORT, LONG
    if (bytes_of_type == 0 || tiff.number(entry + 4, 4) != 1) return std::nullopt;
    return static_cast<int>(tiff.number(entry + 8, bytes_of_type));
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
