#include "launcher/config/names.h"

#include <algorithm>

namespace ferrun {

std::string hexadecimal(uint64_t number, int digits) {
  std::string text(static_cast<size_t>(digits), '0');
  for (auto at = text.rbegin(); at != text.rend(); ++at, number >>= 4) *at = "0123456789abcdef"[number & 15];
  return text;
}

std::string random_uuid(uint64_t high, uint64_t low) {
  high = (high & ~uint64_t{0xF000}) | 0x4000;                // version 4
  low = (low & ~(uint64_t{3} << 62)) | (uint64_t{2} << 62);  // the variant of RFC 4122
  const std::string digits = hexadecimal(high, 16) + hexadecimal(low, 16);
  return digits.substr(0, 8) + "-" + digits.substr(8, 4) + "-" + digits.substr(12, 4) + "-" + digits.substr(16, 4) +
         "-" + digits.substr(20);
}

std::string lower_case_name(uint64_t number, int length) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::string text;
  for (int i = 0; i < length; ++i, number /= kLetters.size()) text += kLetters[number % kLetters.size()];
  return text;
}

std::string file_name_of(std::string_view text) {
  std::string name(text);
  std::ranges::replace(name, '/', '_');
  if (name == "." || name == "..") name = "_";
  return name;
}

}  // namespace ferrun
