// When those who wait are told for what, and who has been told: when it has changed, and not too often. Pure; owned by
// the coordinator machine, which makes the sentences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "common/time.h"
#include "rendezvous/coordinator/membership.h"

namespace ferrun {

class Announcer {
 public:
  explicit Announcer(TimePoint now) : not_before_(now), recount_at_(now) {}

  // What members wait for may have changed.
  void note_news() { news_ = true; }
  bool is_due(TimePoint now) const { return now >= not_before_ && (news_ || (tells_time_ && now >= recount_at_)); }
  std::optional<TimePoint> deadline() const;

  // It is looked into now, whether anything has to be told. A job of many members is told more rarely.
  void begin(size_t members, TimePoint now);
  // The sentence as it is now; `tells_time` when a part of it is a time that passes. Returns whether it is another one.
  bool compose(const std::string& sentence, bool tells_time);
  // Whether the member has not been told the sentence yet; it is counted as told.
  bool takes_turn(Member& member) const;
  // A member that came anew has forgotten what it was told.
  static void forget(Member& member) { member.told = 0; }

 private:
  std::string sentence_;  // the newest
  uint64_t number_ = 0;   // of it
  bool news_ = false;     // since it was looked into
  bool tells_time_ = false;
  TimePoint not_before_;
  TimePoint recount_at_;
};

}  // namespace ferrun
