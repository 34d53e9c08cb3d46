// One rank's part of the rest of an epoch: which samples, in which batches. Pure.
//
// The order of the samples is cut into global batches, and of each global batch sample j goes to rank j mod W. Where
// data set, batch size and world size divide evenly this is what DistributedSampler and DataLoader deal in Python.
// Where they do not, no sample is repeated and none is left out: a share may be one sample smaller than another's, or
// empty.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ferrun::train {

struct Shard {
  int64_t world_size = 1;
  int64_t rank = 0;
};

struct EpochPlan {
  std::vector<int64_t> indices;  // of this rank, in order of loading
  int64_t batch_size = 1;        // of this rank's share of a full global batch
  int64_t samples = 0;           // of all ranks
  int64_t global_batch_size = 1;
  Shard shard;

  // What is left of `order`, the epoch's samples for all ranks, when its first `done` samples have been trained on.
  // `global_batch_size` is at least the world size.
  static EpochPlan make(std::span<const int64_t> order, int64_t done, int64_t global_batch_size, const Shard& shard);

  int64_t batches() const;  // the same number on every rank
  int64_t samples_in(int64_t batch) const;
  int64_t own_samples_in(int64_t batch) const;
};

// How many of `samples` are dealt to the rank.
int64_t share_of(int64_t samples, const Shard& shard);

}  // namespace ferrun::train
