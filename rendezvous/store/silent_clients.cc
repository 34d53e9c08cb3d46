#include "rendezvous/store/silent_clients.h"

#include <algorithm>

namespace ferrun {

std::optional<TimePoint> SilentClients::next_deadline() const {
  if (since_.empty()) return std::nullopt;
  const Duration patience = since_.size() > kMany ? std::min(patience_, kShortPatience) : patience_;
  return since_.begin()->second + patience;
}

std::vector<StoreConnectionId> SilentClients::take_overdue(TimePoint now) {
  std::vector<StoreConnectionId> overdue;
  while (!since_.empty() && *next_deadline() <= now) {
    overdue.push_back(since_.begin()->first);
    since_.erase(since_.begin());
  }
  return overdue;
}

}  // namespace ferrun
