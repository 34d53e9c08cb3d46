#include "common/text.h"

#include <algorithm>

namespace ferrun {
namespace {

// Length of the UTF-8 character that begins with `lead`; 0 when no character begins so.
size_t character_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  if (lead >= 0xF0 && lead < 0xF5) return 4;
  return 0;
}

bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

}  // namespace

std::string_view strip(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\v\f\r";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::string_view cut_utf8(std::string_view text, size_t most) {
  if (text.size() <= most) return text;
  return text.substr(0, length_without_cut_character(text.substr(0, most)));
}

size_t length_without_cut_character(std::string_view bytes) {
  const size_t reach = std::min<size_t>(bytes.size(), 3);
  for (size_t back = 1; back <= reach; ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if (is_continuation(byte)) continue;
    const bool is_cut = character_length(byte) > back;
    return is_cut && back < bytes.size() ? bytes.size() - back : bytes.size();
  }
  return bytes.size();
}

}  // namespace ferrun
