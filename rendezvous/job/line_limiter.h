// Keeps a line that repeats, as one about every attempt of a misconfigured peer does, from filling the log. A pure
// value: `now` is passed in.
#pragma once

#include <string>
#include <unordered_map>

#include "common/time.h"

namespace ferrun {

class LineLimiter {
 public:
  explicit LineLimiter(Duration pause) : pause_(pause) {}

  // Whether this line has not been said for a while.
  bool may_say(const std::string& line, TimePoint now) {
    const auto [entry, is_new] = said_.try_emplace(line, now);
    if (!is_new && now - entry->second < pause_) return false;
    entry->second = now;
    if (said_.size() > kMostLines) said_.clear();
    return true;
  }

 private:
  static constexpr size_t kMostLines = 256;
  Duration pause_;
  std::unordered_map<std::string, TimePoint> said_;
};

}  // namespace ferrun
