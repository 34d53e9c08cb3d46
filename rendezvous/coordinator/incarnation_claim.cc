#include "rendezvous/coordinator/incarnation_claim.h"

#include "rendezvous/job/wording.h"

namespace ferrun {

bool IncarnationClaim::answered(uint64_t ticket, const std::string& error, TimePoint now) {
  if (!save_.answered(ticket, error, now)) return false;
  error_ = error;
  if (error.empty()) claimed_ = claiming_;
  return true;
}

std::string IncarnationClaim::words() const {
  return "waiting for the coordinator's state to be saved" + (error_.empty() ? "" : ": " + plain_text(error_));
}

}  // namespace ferrun
