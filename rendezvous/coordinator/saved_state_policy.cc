#include "rendezvous/coordinator/saved_state_policy.h"

namespace ferrun {

bool is_still_awaited(std::optional<Duration> age, Duration coordinator_timeout, Duration keep_alive) {
  return age && *age <= coordinator_timeout + keep_alive;
}

bool goes_on(const CoordinatorState& saved, bool own_process) { return own_process || !saved.closed; }

}  // namespace ferrun
