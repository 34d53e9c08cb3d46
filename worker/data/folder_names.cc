#include "worker/data/folder_names.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace ferrun::data {
namespace {

// Bytes of the code point at the beginning, at most 4; 0 where there is none.
utf8proc_ssize_t code_point_bytes(std::string_view text) {
  utf8proc_int32_t code_point = 0;
  const auto* const bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  return std::max<utf8proc_ssize_t>(0,
                                    utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size()), &code_point));
}

}  // namespace

bool is_utf8(std::string_view name) {
  while (!name.empty()) {
    const utf8proc_ssize_t length = code_point_bytes(name);
    if (length == 0) return false;
    name.remove_prefix(static_cast<size_t>(length));
  }
  return true;
}

std::string composed(std::string_view name) {
  utf8proc_uint8_t* mapped = nullptr;
  const auto* const bytes = reinterpret_cast<const utf8proc_uint8_t*>(name.data());
  const utf8proc_ssize_t length = utf8proc_map(bytes, static_cast<utf8proc_ssize_t>(name.size()), &mapped,
                                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(mapped, &std::free);
  if (length < 0) return std::string(name);
  return {reinterpret_cast<const char*>(mapped), static_cast<size_t>(length)};
}

std::string printable(std::string_view name) {
  std::string text;
  while (!name.empty()) {
    const auto length = static_cast<size_t>(code_point_bytes(name));
    if (length > 0) {
      text += name.substr(0, length);
    } else {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\x%02x",
                    static_cast<unsigned>(static_cast<unsigned char>(name[0])));
      text += escape.data();
    }
    name.remove_prefix(std::max<size_t>(1, length));
  }
  return text;
}

bool is_left_by_programs(std::string_view name) {
  return name.starts_with('.') || name == "__MACOSX" || name == "Thumbs.db" || name == "desktop.ini";
}

bool are_misordered_numbers(const std::vector<std::string>& sorted) {
  const auto is_number = [](const std::string& name) {
    return !name.empty() && name.size() <= 18 &&
           std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  if (!std::all_of(sorted.begin(), sorted.end(), is_number)) return false;
  return !std::is_sorted(sorted.begin(), sorted.end(), [](const std::string& a, const std::string& b) {
    return std::strtoll(a.c_str(), nullptr, 10) < std::strtoll(b.c_str(), nullptr, 10);
  });
}

}  // namespace ferrun::data
