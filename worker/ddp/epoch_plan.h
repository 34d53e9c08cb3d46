// One rank's part of the rest of an epoch: which samples, in which batches. Pure.
//
// The order of the samples is cut into global batches, and of each global batch sample j goes to rank j mod W. Where
// data set, batch size and world size divide evenly this is what DistributedSampler and DataLoader deal in Python.
// Where they do not, no sample is repeated and none is left out: a share may be one sample smaller than another's, or
// empty.
//
// A model that needs more than one sample to train on (BatchNorm, of maps that are one pixel) names its least share: a
// batch that is too small for all ranks is then dealt to fewer, and a last one too small for any joins the one before
// it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ferrun::ddp {

struct Shard {
  int64_t world_size = 1;
  int64_t rank = 0;
};

// The shard of a ProcessGroup's rank.
template <typename Group>
Shard shard_of(const Group& group) {
  return {group.world_size(), group.rank()};
}

struct EpochPlan {
  std::vector<int64_t> indices;  // of this rank, in order of loading
  int64_t batch_size = 1;        // of this rank's share of a full global batch
  int64_t samples = 0;           // of all ranks
  int64_t global_batch_size = 1;
  int64_t least_share = 1;  // samples of a rank in a batch, unless it has none
  Shard shard;

  // What is left of `order`, the epoch's samples for all ranks, when its first `done` samples have been trained on.
  // `global_batch_size` is at least world size × least share. Where the rest as a whole is less than a least share, one
  // rank has all of it.
  static EpochPlan make(std::span<const int64_t> order, int64_t done, int64_t global_batch_size, const Shard& shard,
                        int64_t least_share = 1);

  int64_t batches() const;  // the same number on every rank
  int64_t samples_in(int64_t batch) const;
  int64_t own_samples_in(int64_t batch) const;

 private:
  // Those that a batch is dealt to, the first ones.
  Shard shard_in(int64_t batch) const;
};

// How many of `samples` are dealt to the rank.
int64_t share_of(int64_t samples, const Shard& shard);

}  // namespace ferrun::ddp
