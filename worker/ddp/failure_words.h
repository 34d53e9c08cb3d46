// What Gloo's, NCCL's and the store's own words of a failed collective mean. Pure.
#pragma once

#include <string_view>

namespace ferrun::ddp {

enum class FailureWords {
  kTimedOut,    // a rank did not take part in time
  kLostPeer,    // a rank's process or machine is gone
  kCollective,  // the transport failed in another way
  kNone,        // not of a collective
};

// `line`: the first line of what was thrown.
FailureWords meaning_of(std::string_view line);

}  // namespace ferrun::ddp
