// The memory that agent and sentinel of a job with several nodes share.
#pragma once

#include <atomic>
#include <cstdint>

namespace ferrun {

struct LeasePage {
  // Until when workers may live, in nanoseconds of CLOCK_BOOTTIME; 0: no worker runs.
  std::atomic<int64_t> end{0};
};

static_assert(std::atomic<int64_t>::is_always_lock_free, "two processes share it");

// What the agent tells its sentinel, one byte each through a SOCK_SEQPACKET pair.
enum class GuardMessage : char {
  kLook = 'L',    // the lease on the page has begun, or ends sooner than it did
  kShare = 'S',   // comes with a descriptor: hold it in place of an earlier one
  kForget = 'F',  // close the descriptor
};

}  // namespace ferrun
