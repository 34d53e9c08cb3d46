// One coordinator's claim to a state file: the lock that keeps others off, and what an earlier coordinator has left.
//
// The lock lies beside the file (PATH.lock), because the file itself is replaced at every save. It holds the id of the
// job, for the words of whoever is kept off, and goes with the process that holds it, however that ends.
// Ownership: owned by whoever hosts the coordinator. Thread rule: one thread. Blocks: for the start and the end.
#pragma once

#include <string>
#include <utility>

#include "common/io/unique_fd.h"
#include "rendezvous/coordinator/saved_state_policy.h"

namespace ferrun {

class StateClaim {
 public:
  static StateClaim take(StateOwner owner);
  // Once.
  StateVerdict take_verdict() { return std::move(verdict_); }
  // Whether states may be written to the file.
  bool held() const { return static_cast<bool>(lock_); }
  // The job is over: removes file and lock.
  void remove();

 private:
  explicit StateClaim(StateOwner owner) : owner_(std::move(owner)) {}
  void lock();

  StateOwner owner_;
  StateVerdict verdict_;
  UniqueFd lock_;
};

}  // namespace ferrun
