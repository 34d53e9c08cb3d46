#include "launcher/node/stop_order.h"

#include <algorithm>
#include <csignal>

namespace ferrun {
namespace {

// Two copies of one signal come within microseconds of each other, from a busy scheduler within some milliseconds.
constexpr Duration kOtherCopy = std::chrono::milliseconds(50);
// A Ctrl-C that comes later than this is another one.
constexpr Duration kClearlyLater = std::chrono::seconds(1);

bool is_of_a_person(int signal) { return signal == SIGINT || signal == SIGQUIT; }

}  // namespace

StopOrder::Meaning StopOrder::hear(const SignalArrived& event, TimePoint now) {
  if (std::ranges::find(orders_, event.signal) == orders_.end()) {
    hear_for_workers(event, now);
    return Meaning::kNothing;
  }
  if (!first_) {
    first_ = event;
    since_ = now;
    return Meaning::kStop;
  }
  if (is_of_a_person(event.signal) && now - since_ >= kClearlyLater) return Meaning::kNow;
  const bool other_copy = event.signal == first_->signal && event.direct != first_->direct;
  if (!other_copy || both_ || now - since_ > kOtherCopy) return Meaning::kNothing;
  both_ = true;
  return Meaning::kEverybodyHasIt;
}

void StopOrder::hear_for_workers(const SignalArrived& event, TimePoint now) {
  const auto other = std::ranges::find_if(passing_, [&event](const Passing& each) {
    return each.copy.signal == event.signal && each.copy.direct != event.direct;
  });
  if (other == passing_.end()) {
    passing_.push_back({event, event.from_terminal ? now : now + kOtherCopy});
  } else {
    passing_.erase(other);  // every process got it, the workers too
  }
}

int StopOrder::take_due(TimePoint now) {
  const auto due = std::ranges::find_if(passing_, [now](const Passing& each) { return each.due <= now; });
  if (due == passing_.end()) return 0;
  const int signal = due->copy.signal;
  passing_.erase(due);
  return signal;
}

std::optional<TimePoint> StopOrder::next_deadline() const {
  if (passing_.empty()) return std::nullopt;
  return std::ranges::min(passing_, {}, &Passing::due).due;
}

Duration StopOrder::hold() const { return first_ && !first_->from_terminal ? kOtherCopy : Duration::zero(); }

std::optional<Duration> StopOrder::ask_again(Duration grace) const {
  if (first_ && first_->from_above) return std::nullopt;
  return grace / 2;
}

}  // namespace ferrun
