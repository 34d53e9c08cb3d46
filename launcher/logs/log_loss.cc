#include "launcher/logs/log_loss.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace ferrun {
namespace {

std::string describe_size(uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " B";
  static constexpr std::array<const char*, 4> kUnits = {"kB", "MB", "GB", "TB"};
  double size = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  for (; size >= 999.95 && unit + 1 < kUnits.size(); ++unit) size /= 1000;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", size, kUnits[unit]);
  return text.data();
}

}  // namespace

void LogLoss::add(std::string_view lost) {
  if (lost.empty()) return;
  bytes += lost.size();
  lines += static_cast<uint64_t>(std::count(lost.begin(), lost.end(), '\n'));
  ends_mid_line = lost.back() != '\n';
}

void LogLoss::add(const LogLoss& later) {
  if (later.empty()) return;
  bytes += later.bytes;
  lines += later.lines;
  ends_mid_line = later.ends_mid_line;
}

std::string_view LogLoss::skip_rest_of_line(std::string_view bytes_after) {
  if (!ends_mid_line) return bytes_after;
  const size_t end = bytes_after.find('\n');
  const size_t skipped = end == std::string_view::npos ? bytes_after.size() : end + 1;
  add(bytes_after.substr(0, skipped));
  return bytes_after.substr(skipped);
}

std::string LogLoss::describe() const {
  const uint64_t count = lines + (ends_mid_line ? 1 : 0);
  return std::to_string(count) + (count == 1 ? " line (" : " lines (") + describe_size(bytes) + ")";
}

}  // namespace ferrun
