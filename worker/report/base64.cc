#include "worker/report/base64.h"

#include <glib.h>

#include <memory>

namespace ferrun::report {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::string base64(std::span<const uint8_t> bytes) {
  const std::unique_ptr<char, void (*)(void*)> text(g_base64_encode(bytes.data(), bytes.size()), g_free);
  return text.get();
}

// GLib's decoder passes over what does not belong there, so the form is checked before.
std::optional<std::vector<uint8_t>> from_base64(std::string_view text) {
  const size_t letters = text.find_last_not_of('=') + 1;
  if (text.size() % 4 != 0 || text.size() - letters > 2 ||
      text.substr(0, letters).find_first_not_of(kAlphabet) != std::string_view::npos) {
    return std::nullopt;
  }
  gsize size = 0;
  const std::string terminated(text);
  const std::unique_ptr<guchar, void (*)(void*)> bytes(g_base64_decode(terminated.c_str(), &size), g_free);
  return std::vector<uint8_t>(bytes.get(), bytes.get() + size);
}

}  // namespace ferrun::report
