// Shows later agents of this user on this machine whether a node still lives: what a coordinator that starts needs to
// know of the nodes of an earlier round before it waits for their leases.
//
// A file in the runtime folder, named after the agent, and a lock on it. The agent's sentinel holds the lock too, and
// writes a word into the file when every process of the job on this node is gone, so the lock goes after the last of
// the two, however they end. Who ends in good order removes the file.
// Ownership: owned by the node driver. Thread rule: one thread.
#pragma once

#include <filesystem>

#include "common/io/unique_fd.h"
#include "common/result.h"
#include "rendezvous/coordinator/coordinator_events.h"

namespace ferrun {

class NodeClaim {
 public:
  // kPlatform where the file cannot be made or locked: an agent that is killed is then waited for.
  static Result<NodeClaim> take(const std::filesystem::path& folder, AgentId agent);

  // For the sentinel, through the LeaseGuard.
  int descriptor() const { return lock_.get(); }
  // Nothing of this node is left. Takes along files that dead agents have left long ago.
  void remove();

 private:
  NodeClaim(std::filesystem::path path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  UniqueFd lock_;
};

// What is left of an agent that may have lived on this machine.
Remains remains_of(const std::filesystem::path& folder, AgentId agent);

}  // namespace ferrun
