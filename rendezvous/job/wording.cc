#include "rendezvous/job/wording.h"

#include <algorithm>

#include "common/printable_text.h"
#include "common/text.h"

namespace ferrun {
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
  return std::string(cut_utf8(printable(text.substr(0, 2 * most)), most));
}

}  // namespace ferrun
