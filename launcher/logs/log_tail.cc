#include "launcher/logs/log_tail.h"

#include <algorithm>
#include <deque>

#include "common/line_splitter.h"
#include "common/text.h"

namespace ferrun {

std::vector<std::string> last_lines(std::string_view bytes, size_t count, bool begins_mid_line, size_t longest) {
  std::deque<std::string_view> lines;
  size_t seen = 0;
  LineSplitter splitter(bytes.size() + 1);
  const auto keep = [&](std::string_view line) {
    if (++seen == 2 && begins_mid_line) lines.clear();
    lines.push_back(line);
    if (lines.size() > count) lines.pop_front();
  };
  splitter.feed(bytes, keep);
  const std::string_view held = bytes.substr(bytes.size() - splitter.held());
  if (!held.empty()) keep(held);

  std::vector<std::string> result;
  for (const std::string_view line : lines) {
    result.emplace_back(cut_utf8(line, longest));
    if (line.size() > longest) result.back() += " …";
  }
  return result;
}

void LogTail::append(std::string_view bytes) {
  if (behind_mark_) *behind_mark_ += bytes.size();
  if (bytes.size() > capacity_) {
    wrapped_ = true;
    bytes.remove_prefix(bytes.size() - capacity_);
  }
  const size_t grows = std::min(capacity_ - ring_.size(), bytes.size());
  ring_.append(bytes.substr(0, grows));
  bytes.remove_prefix(grows);
  while (!bytes.empty()) {
    wrapped_ = true;
    const size_t taken = std::min(capacity_ - next_, bytes.size());
    bytes.copy(ring_.data() + next_, taken);
    next_ = (next_ + taken) % capacity_;
    bytes.remove_prefix(taken);
  }
}

std::string LogTail::bytes() const {
  const std::string_view ring = ring_;
  std::string bytes(ring.substr(next_));
  bytes += ring.substr(0, next_);
  return bytes;
}

std::vector<std::string> LogTail::lines(size_t count) const { return last_lines(bytes(), count, wrapped_); }

std::vector<std::string> LogTail::lines_before_mark(size_t count) const {
  if (!behind_mark_) return {};
  const std::string kept = bytes();
  const size_t before = kept.size() - std::min(kept.size(), *behind_mark_);
  return last_lines(std::string_view(kept).substr(0, before), count, wrapped_);
}

}  // namespace ferrun
