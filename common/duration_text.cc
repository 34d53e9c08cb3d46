#include "common/duration_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>

namespace ferrun {
namespace {

using namespace std::chrono_literals;

int64_t rounded_up(Duration duration, Duration unit) { return (duration + unit - 1ns) / unit; }

}  // namespace

std::string exact_text(Duration duration) {
  const int64_t milliseconds = duration / 1ms;
  return milliseconds % 1000 == 0 ? std::to_string(milliseconds / 1000) + " s" : std::to_string(milliseconds) + " ms";
}

std::string seconds_number(Duration duration) {
  std::array<char, 32> text{};
  const double seconds = std::chrono::duration<double>(duration).count();
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), seconds).ptr};
}

std::string measured_text(Duration duration, int millisecond_digits) {
  const double seconds = std::chrono::duration<double>(duration).count();
  const bool is_short = seconds < 1;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.*f %s", is_short ? millisecond_digits : 2,
                is_short ? seconds * 1e3 : seconds, is_short ? "ms" : "s");
  return text.data();
}

std::string age_text(Duration duration) {
  const int64_t seconds = duration / 1s;
  if (seconds < 1) return std::to_string(duration / 1ms) + " ms";
  if (seconds < 60) return std::to_string(seconds) + " s";
  if (seconds < 3600) return std::to_string(seconds / 60) + " min " + std::to_string(seconds % 60) + " s";
  return std::to_string(seconds / 3600) + " h " + std::to_string(seconds / 60 % 60) + " min";
}

std::string in_words(Duration duration) {
  duration = std::max(duration, Duration::zero());
  if (duration > 120s) return std::to_string(rounded_up(duration, 60s)) + " min";
  if (duration > 9900ms) return std::to_string(rounded_up(duration, 1s)) + " s";
  const int64_t tenths = rounded_up(duration, 100ms);
  std::string text = std::to_string(tenths / 10);
  if (tenths % 10 != 0) text += "." + std::to_string(tenths % 10);
  return text + " s";
}

}  // namespace ferrun
