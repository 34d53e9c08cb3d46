#include "launcher/logs/log_flow.h"

namespace ferrun {

LogFlow::Verdict LogFlow::judge(size_t queued, TimePoint now) {
  if (queued <= limits_.low) {
    verdict_ = Verdict::kAccept;
  } else if (verdict_ == Verdict::kAccept && queued >= limits_.high) {
    verdict_ = Verdict::kWait;
    wait_until_ = now + limits_.patience;
  } else if (verdict_ == Verdict::kWait && now >= wait_until_) {
    verdict_ = Verdict::kLose;
  }
  return verdict_;
}

std::optional<TimePoint> LogFlow::next_deadline() const {
  if (verdict_ != Verdict::kWait) return std::nullopt;
  return wait_until_;
}

}  // namespace ferrun
