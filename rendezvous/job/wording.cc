#include "rendezvous/job/wording.h"

#include <algorithm>

#include "common/printable_text.h"

namespace ferrun {
namespace {

using namespace std::chrono_literals;

int64_t rounded_up(Duration duration, Duration unit) { return (duration + unit - 1ns) / unit; }

}  // namespace

std::string in_words(Duration duration) {
  duration = std::max(duration, Duration::zero());
  if (duration > 120s) return std::to_string(rounded_up(duration, 60s)) + " min";
  if (duration > 9900ms) return std::to_string(rounded_up(duration, 1s)) + " s";
  const int64_t tenths = rounded_up(duration, 100ms);
  std::string text = std::to_string(tenths / 10);
  if (tenths % 10 != 0) text += "." + std::to_string(tenths % 10);
  return text + " s";
}

std::string counted(size_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string listed(const std::vector<std::string>& names, size_t total) {
  const size_t shown = std::min(names.size(), kNamesListed);
  const size_t more = std::max(total, names.size()) - shown;
  std::string text;
  for (size_t at = 0; at < shown; ++at) {
    if (at > 0) text += more == 0 && at + 1 == shown ? " and " : ", ";
    text += names[at];
  }
  if (more == 0) return text;
  return shown == 0 ? std::to_string(more) : text + " and " + std::to_string(more) + " more";
}

std::string plain_text(std::string_view text, size_t most) {
  std::string plain = printable(text.substr(0, 2 * most));
  if (plain.size() <= most) return plain;
  while (most > 0 && (static_cast<unsigned char>(plain[most]) & 0xC0) == 0x80) --most;  // whole characters
  plain.resize(most);
  return plain;
}

}  // namespace ferrun
