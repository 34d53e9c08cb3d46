// Connections to the store that have not begun to speak, and how long they may stay. Pure.
//
// Every client says its first bytes as soon as it is connected. One that does not is a stranger that holds a
// descriptor; one that has begun may then be idle for as long as it likes.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <vector>

#include "common/time.h"
#include "rendezvous/store/store_effects.h"

namespace ferrun {

class SilentClients {
 public:
  // With more than this many, the oldest have to go sooner. A large job connects at once, and its clients speak within
  // a round trip.
  static constexpr size_t kMany = 512;
  static constexpr Duration kShortPatience = std::chrono::seconds(2);

  explicit SilentClients(Duration patience) : patience_(patience) {}

  // Times never go back, nor do the ids of new connections. Once more for one that is let off this time.
  void connected(StoreConnectionId id, TimePoint now) { since_.emplace_hint(since_.end(), id, now); }
  // It has begun to speak, or is gone. Nothing happens for one that is not silent.
  void settled(StoreConnectionId id) { since_.erase(id); }
  void clear() { since_.clear(); }

  // When take_overdue() will have something, as far as is known now.
  std::optional<TimePoint> next_deadline() const;
  // Those that have to be closed; they are forgotten here.
  std::vector<StoreConnectionId> take_overdue(TimePoint now);

  size_t size() const { return since_.size(); }

 private:
  Duration patience_;
  std::map<StoreConnectionId, TimePoint> since_;  // the oldest connection first
};

}  // namespace ferrun
