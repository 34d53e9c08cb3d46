#include "launcher/logs/log_flow.h"

#include <algorithm>

namespace ferrun {

LogFlow::Verdict LogFlow::judge(size_t queued, TimePoint moved_at, TimePoint now) {
  if (queued <= limits_.low || (verdict_ == Verdict::kAccept && queued < limits_.high)) {
    return verdict_ = Verdict::kAccept;
  }
  if (verdict_ == Verdict::kAccept) {
    verdict_ = Verdict::kWait;
    still_since_ = now;
  }
  if (moved_at > still_since_) {
    still_since_ = moved_at;
    if (verdict_ == Verdict::kLose) verdict_ = can_be_late() ? Verdict::kLate : Verdict::kWait;
  }
  if (now >= still_since_ + limits_.patience) {
    verdict_ = Verdict::kLose;
  } else if (can_be_late() && now >= still_since_ + limits_.late) {
    verdict_ = Verdict::kLate;
  }
  return verdict_;
}

std::optional<TimePoint> LogFlow::next_deadline() const {
  switch (verdict_) {
    case Verdict::kWait: return still_since_ + (can_be_late() ? limits_.late : limits_.patience);
    case Verdict::kLate: return still_since_ + limits_.patience;
    case Verdict::kAccept:
    case Verdict::kLose: return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace ferrun
