#include "rendezvous/member/member_lease.h"

#include <algorithm>

namespace ferrun {
namespace {

using namespace std::chrono_literals;

// Whatever a coordinator says, heartbeats are no flood and times do not overflow.
constexpr Duration kLeastInterval = 1ms;
constexpr Duration kLongest = 24h;
constexpr size_t kMostUnanswered = 4096;

}  // namespace

void MemberLease::begin(const Welcome& welcome, TimePoint joined, TimePoint now) {
  in_session_ = true;
  length_ = std::clamp(welcome.lease, Duration::zero(), kLongest);
  interval_ = std::clamp(welcome.heartbeat_interval, kLeastInterval, kLongest);
  silence_ = std::max(length_, kLeastInterval);
  if (welcome.own_process) silence_ = std::min(silence_, kSilentHeartbeats * interval_);
  sent_.clear();
  next_heartbeat_ = std::max(now, joined + interval_);
  heard_ = now;
  end_ = joined + length_;
}

void MemberLease::end_session() {
  in_session_ = false;
  sent_.clear();
}

Heartbeat MemberLease::send(TimePoint now) {
  sent_.push_back({++number_, now});
  if (sent_.size() > kMostUnanswered) sent_.pop_front();
  next_heartbeat_ = now + interval_;
  return {number_};
}

void MemberLease::answered(uint64_t number) {
  const auto found = std::ranges::find(sent_, number, &Sent::number);
  if (found == sent_.end()) return;
  heard_ = std::max(heard_, found->at);
  end_ = found->at + length_;
  sent_.erase(sent_.begin(), found + 1);
}

}  // namespace ferrun
