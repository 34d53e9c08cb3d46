// Whether a coordinator that starts goes on with what an earlier one left in a file. Pure.
#pragma once

#include <optional>

#include "common/time.h"
#include "rendezvous/coordinator/coordinator_events.h"

namespace ferrun {

// Of the file that an agent keeps for itself, `age` since it was last written or touched (none: there is none): whether
// anybody can still be waiting for the coordinator that wrote it. Nobody waits longer than `coordinator_timeout`, which
// begins when its silence is noticed, after `keep_alive`. An older file is another job's with the same id.
bool is_still_awaited(std::optional<Duration> age, Duration coordinator_timeout, Duration keep_alive);

// Whether the saved job is the one that starts. Who starts agents again after a job's end means another job; a
// coordinator of its own (`own_process`), a service that is started again, has to tell how the job ended.
bool goes_on(const CoordinatorState& saved, bool own_process);

}  // namespace ferrun
