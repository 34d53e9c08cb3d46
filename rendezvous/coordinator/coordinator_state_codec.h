// What has to survive the coordinator, as text: JSON for a person to read, with a version and a checksum. Pure.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"
#include "rendezvous/coordinator/coordinator_events.h"

namespace ferrun {

// Two lines: a header with version and checksum, and the state as JSON.
std::string encode_state(const CoordinatorState& state);

// kPlatform with one line for text that encode_state did not write or that was changed since.
Result<CoordinatorState> decode_state(std::string_view text);

}  // namespace ferrun
