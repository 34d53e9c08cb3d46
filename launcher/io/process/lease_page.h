// What the two sides of the lease guard share: a page of memory, and the words that go from the agent to its sentinel.
#pragma once

#include <atomic>
#include <cstdint>

namespace ferrun {

struct LeasePage {
  // Until when workers may live, in nanoseconds of CLOCK_BOOTTIME; 0: no worker runs, or the job has one node.
  std::atomic<int64_t> end{0};
};

static_assert(std::atomic<int64_t>::is_always_lock_free, "two processes share it");

// One byte each through a SOCK_SEQPACKET pair.
enum class LeaseMessage : char {
  kLook = 'L',    // the lease on the page has begun, or ends sooner than it did
  kShare = 'S',   // comes with a descriptor: hold it in place of an earlier one
  kForget = 'F',  // close the descriptor
  kClaim = 'C',   // comes with the descriptor of the node's claim: hold it until every process of the job is gone
};

}  // namespace ferrun
