#include "rendezvous/coordinator/flap_policy.h"

#include <algorithm>

namespace ferrun {

std::optional<Duration> FlapPolicy::lost(const std::string& node, TimePoint now) {
  Record& known = record(node, now);
  known.last = now;
  known.losses.push_back(now);
  while (now - known.losses.front() >= limits_.window) known.losses.pop_front();
  // More than decide the matter need not be kept.
  while (known.losses.size() > static_cast<size_t>(std::max(limits_.losses, 1))) known.losses.pop_front();
  if (static_cast<int>(known.losses.size()) < limits_.losses) return std::nullopt;
  return bar(node, now);
}

Duration FlapPolicy::bar(const std::string& node, TimePoint now) {
  Record& known = record(node, now);
  known.last = now;
  Duration length = limits_.first_bar;
  for (int doubled = 0; doubled < known.bars && length < limits_.longest_bar; ++doubled) length *= 2;
  length = std::min(length, limits_.longest_bar);
  ++known.bars;
  known.barred_until = now + length;
  return length;
}

std::optional<Duration> FlapPolicy::barred(const std::string& node, TimePoint now) const {
  const auto found = records_.find(node);
  if (found == records_.end() || found->second.barred_until <= now) return std::nullopt;
  return found->second.barred_until - now;
}

FlapPolicy::Record& FlapPolicy::record(const std::string& node, TimePoint now) {
  prune(now);
  Record& known = records_[node];
  if (now - known.last >= limits_.window) known.bars = 0;
  return known;
}

void FlapPolicy::prune(TimePoint now) {
  if (now < prune_at_) return;
  prune_at_ = now + limits_.window;
  std::erase_if(records_, [&](const auto& entry) {
    return now - entry.second.last >= limits_.window && entry.second.barred_until <= now;
  });
}

}  // namespace ferrun
