// Saves a run and continues it: last_model.pt after every epoch (and within one), best_model.pt for the best one.
//
// All ranks call the same methods in the same order; rank 0 writes. Collectives throw; see ProcessGroup::explain. What
// is not every rank's, or holds numbers that are none, is not saved: the checkpoint before stays.
// Ownership: borrows the run's parts and the group. Thread rule: one thread.
#pragma once

#include <functional>
#include <string>

#include "common/result.h"
#include "worker/checkpoint/background_writer.h"
#include "worker/ddp/process_group.h"
#include "worker/train/checkpoint_content.h"

namespace ferrun::train {

class Checkpointer {
 public:
  // `wait`: see checkpoint::host_copy; empty on the CPU.
  Checkpointer(std::string directory, RunParts parts, RunIdentity identity, ddp::ProcessGroup& group,
               std::function<void()> wait = {});

  const std::string& directory() const { return directory_; }
  const RunIdentity& identity() const { return identity_; }

  // Puts a checkpoint into the parts. Failure: one line; the run must not start then.
  Result<Restored> restore(const checkpoint::Value& checkpoint, const RestoreRules& rules);
  Status save_last();
  // Waits until rank 0's files are in place, which are written while the training goes on. A file's failure comes here,
  // or with a later save.
  Status finish() { return writer_.finish(); }
  // Every rank's model gets the weights of best_model.pt, for the test at the end; optimizer and position stay.
  Status load_best();
  // The best one before it stays as previous_best_model.pt.
  Status save_best();

 private:
  Status check_weights();
  Status save(const char* name, bool launch, const checkpoint::WriteOptions& options);

  std::string directory_;
  RunParts parts_;
  RunIdentity identity_;
  ddp::ProcessGroup& group_;
  checkpoint::BackgroundWriter writer_;
};

}  // namespace ferrun::train
