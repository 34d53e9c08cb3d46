// What a launch must not forget from one attempt to the next: that it has saved a checkpoint, and where. Every node
// keeps the note in the launch's folder (client::Context::launch_dir). An attempt that finds the note but no checkpoint
// runs with its rank 0 on another node, whose disk is its own, or on a disk that was emptied: it must not train from
// the start as if nothing had been lost.
//
// Thread rule: any; one process of a node leaves it.
#pragma once

#include <optional>
#include <string>

#include "common/result.h"

namespace ferrun::train {

class CheckpointNote {
 public:
  // Of the run that writes to `output_directory`. Without a launch folder ("") nothing is kept and nothing found.
  CheckpointNote(const std::string& launch_dir, const std::string& output_directory);

  // The host that the checkpoint was saved from; empty text: not known any more. None: there is no note.
  std::optional<std::string> saved_on() const;

  // Makes the launch's folder where it is missing. Failure: kPlatform, one line.
  Status leave(const std::string& host) const;

 private:
  std::string folder_;
  std::string file_;
};

// This machine's name, as uname -n has it.
std::string host_name();

}  // namespace ferrun::train
