// No two coordinators of a job may give the same number to different rounds: an incarnation is on the disk before a
// round carries it. Pure; owned by the coordinator machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "rendezvous/coordinator/pending_save.h"

namespace ferrun {

class IncarnationClaim {
 public:
  bool holds(uint64_t incarnation) const { return claimed_ == incarnation; }
  // Where it does not hold the incarnation: whether that is to be saved now. The caller does, and says so.
  bool may_ask(TimePoint now) const { return save_.may_ask(now); }
  void asked(uint64_t ticket, uint64_t incarnation) {
    save_.asked(ticket);
    claiming_ = incarnation;
  }
  // Whether the answer was to this claim.
  bool answered(uint64_t ticket, const std::string& error, TimePoint now);

  // When it is asked for again after a failure; none while an answer is awaited.
  std::optional<TimePoint> again_at() const { return save_.again_at(); }
  // What a round waits for until the claim holds.
  std::string words() const;

 private:
  PendingSave save_;
  uint64_t claimed_ = 0;   // saved
  uint64_t claiming_ = 0;  // being saved
  std::string error_;      // of the last answer
};

}  // namespace ferrun
