#include "worker/report/html_text.h"

#include <cmath>
#include <cstdio>

#include "worker/report/base64.h"
#include "worker/report/unicode.h"

namespace ferrun::report {

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char letter : valid_utf8(text)) {
    switch (letter) {
      case '&': safe += "&amp;"; break;
      case '<': safe += "&lt;"; break;
      case '>': safe += "&gt;"; break;
      case '"': safe += "&quot;"; break;
      case '\'': safe += "&#39;"; break;
      default: safe += letter;
    }
  }
  return safe;
}

std::string fixed(double value, int decimals) {
  if (!std::isfinite(value)) return "–";
  char text[400];  // the largest double has 309 digits
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string percent(double share) { return std::isfinite(share) ? fixed(share * 100, 1) + "\u00a0%" : "–"; }

std::string png_data_uri(std::span<const uint8_t> png) { return "data:image/png;base64," + base64(png); }

}  // namespace ferrun::report
