// A state that has to be on the disk before something may happen: asked for, and asked for again a while after a
// failure. Pure; a part of who waits for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/time.h"

namespace ferrun {

class PendingSave {
 public:
  static constexpr Duration kAgain = std::chrono::seconds(1);  // after a failure

  void asked(uint64_t ticket) {
    ticket_ = ticket;
    again_.reset();
  }
  // Whether this is the answer that is awaited. `error` is empty when the state is on the disk.
  bool answered(uint64_t ticket, const std::string& error, TimePoint now) {
    if (ticket == 0 || ticket != ticket_) return false;
    ticket_ = 0;
    if (!error.empty()) again_ = now + kAgain;
    return true;
  }

  bool under_way() const { return ticket_ != 0; }
  // Answered and not failed, or never asked for.
  bool settled() const { return ticket_ == 0 && !again_; }
  bool may_ask(TimePoint now) const { return ticket_ == 0 && (!again_ || *again_ <= now); }
  // After a failure, until it is asked for again.
  std::optional<TimePoint> again_at() const { return again_; }

 private:
  uint64_t ticket_ = 0;
  std::optional<TimePoint> again_;
};

}  // namespace ferrun
