#include "rendezvous/coordinator/announcer.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace ferrun {
namespace {

using namespace std::chrono_literals;

// Between two sentences.
constexpr Duration kSentenceInterval = 1s;
// For each node, so that a large job's nodes are not kept from joining by what they are told.
constexpr Duration kTimeForEach = 500us;
// Between two sentences that differ in a time only.
constexpr Duration kRecountInterval = 5s;

}  // namespace

std::optional<TimePoint> Announcer::deadline() const {
  if (news_) return not_before_;
  if (tells_time_) return recount_at_;
  return std::nullopt;
}

void Announcer::begin(size_t members, TimePoint now) {
  news_ = false;
  tells_time_ = false;
  not_before_ = now + std::max(kSentenceInterval, kTimeForEach * static_cast<int64_t>(members));
  recount_at_ = now + kRecountInterval;
}

bool Announcer::compose(const std::string& sentence, bool tells_time) {
  tells_time_ = tells_time;
  if (sentence == sentence_) return false;
  sentence_ = sentence;
  ++number_;
  return true;
}

bool Announcer::takes_turn(Member& member) const { return std::exchange(member.told, number_) != number_; }

}  // namespace ferrun
