// Where a coordinator's state is kept for the one after it: a file, etcd. One object is one coordinator's claim to it:
// as long as it lives and keeps(), nobody else writes there.
//
// Ownership: owned by whoever hosts the coordinator, on the thread that runs the loop, as are all callbacks. None comes
// once it is gone.
#pragma once

#include <functional>
#include <string>

#include "rendezvous/coordinator/saved_state_policy.h"

namespace ferrun {

class StateStore {
 public:
  // `error`: one line, empty when the text is safe.
  using OnSaved = std::function<void(const std::string& error)>;

  virtual ~StateStore() = default;

  // What an earlier coordinator of the job has left, and whether this one may begin. Once.
  virtual StateVerdict take_verdict() = 0;
  // Whether states may be written.
  virtual bool keeps() const = 0;
  // One after the other, in the order of the calls. Called back from the loop.
  virtual void save(std::string text, OnSaved on_saved) = 0;
  // The coordinator ends. Of a job that is over nothing is left; where it is not, and the store can tell the two apart,
  // another coordinator may go on with what was saved. `ended` may be called at once.
  virtual void end(bool job_is_over, std::function<void()> ended) = 0;
};

}  // namespace ferrun
