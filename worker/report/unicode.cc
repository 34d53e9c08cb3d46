#include "worker/report/unicode.h"

#include <glib.h>

#include <memory>

namespace ferrun::report {

std::string valid_utf8(std::string_view text) {
  const std::unique_ptr<char, void (*)(void*)> valid(g_utf8_make_valid(text.data(), static_cast<gssize>(text.size())),
                                                     g_free);
  std::string plain = valid.get();
  for (char& letter : plain) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) letter = ' ';
  }
  return plain;
}

size_t display_width(std::string_view text) {
  const std::string valid = valid_utf8(text);
  size_t width = 0;
  for (const char* at = valid.c_str(); *at != '\0'; at = g_utf8_next_char(at)) {
    const gunichar character = g_utf8_get_char(at);
    width += g_unichar_iszerowidth(character) ? 0 : g_unichar_iswide(character) ? 2 : 1;
  }
  return width;
}

}  // namespace ferrun::report
