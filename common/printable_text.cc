#include "common/printable_text.h"

#include <algorithm>
#include <cstdint>

namespace ferrun {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

uint8_t byte_at(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }

// The length of the valid UTF-8 sequence that `bytes` begins with; 0 when it begins with none.
size_t sequence_length(std::string_view bytes) {
  const uint8_t lead = byte_at(bytes, 0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || bytes.size() < length) return 0;
  for (size_t at = 1; at < length; ++at) {
    if ((byte_at(bytes, at) & 0xC0) != 0x80) return 0;
  }
  // Not the shortest form, a surrogate, or beyond U+10FFFF.
  const uint8_t second = byte_at(bytes, 1);
  const bool wrong = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
                     (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F);
  return wrong ? 0 : length;
}

// The length of the escape sequence that `bytes` begins with (ESC is its first byte).
size_t escape_length(std::string_view bytes) {
  if (bytes.size() < 2) return 1;
  if (bytes[1] == '[') {  // CSI: parameters up to a final byte
    const auto final_byte = std::ranges::find_if(bytes.substr(2), [](char c) { return c >= 0x40 && c <= 0x7E; });
    return std::min(bytes.size(), static_cast<size_t>(final_byte - bytes.begin()) + 1);
  }
  if (bytes[1] == ']') {  // OSC: a text up to BEL
    const size_t bell = bytes.find('\a');
    return bell == std::string_view::npos ? bytes.size() : bell + 1;
  }
  return 2;
}

}  // namespace

std::string printable(std::string_view bytes) {
  while (!bytes.empty() && bytes.back() == '\r') bytes.remove_suffix(1);
  if (const size_t overwritten = bytes.rfind('\r'); overwritten != std::string_view::npos)
    bytes.remove_prefix(overwritten + 1);
  std::string text;
  while (!bytes.empty()) {
    size_t length = sequence_length(bytes);
    if (length == 0) {
      text += kReplacement;
      length = 1;
    } else if (bytes[0] == '\x1B') {
      length = escape_length(bytes);
    } else if (length > 1 || byte_at(bytes, 0) >= 0x20 || bytes[0] == '\t') {
      if (bytes[0] != '\x7F') text += bytes.substr(0, length);
    }
    bytes.remove_prefix(length);
  }
  return text;
}

std::string one_line(std::string_view typed) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char character : typed) {
    const auto byte = static_cast<uint8_t>(character);
    if (byte >= 0x20 && byte != 0x7F) {
      text += character;
    } else if (const size_t named = std::string_view("\n\r\t").find(character); named != std::string_view::npos) {
      text.append(1, '\\').append(1, "nrt"[named]);
    } else {
      text.append("\\x").append(1, kDigits[byte >> 4]).append(1, kDigits[byte & 15]);
    }
  }
  return printable(text);
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  while (!lines.empty() && lines.back().find_first_not_of(" \t\r") == std::string::npos) lines.pop_back();
  return lines;
}

}  // namespace ferrun
