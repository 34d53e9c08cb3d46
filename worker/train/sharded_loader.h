// What DataLoader with DistributedSampler is in Python: the batches of this rank, in an order that all ranks share.
//
// Ownership: owns its Loader. Thread rule: one thread; see Loader.
#pragma once

#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/data/loader.h"
#include "worker/ddp/epoch_plan.h"

namespace ferrun::train {

struct ShardedLoaderOptions {
  int64_t batch_size = 1;      // of all ranks; at least one sample for each
  int64_t least_share = 1;     // see ddp::EpochPlan
  bool shuffle = false;        // by torch.randperm seeded with seed + epoch
  data::LoaderOptions loader;  // its batch_size is set here
};

class ShardedLoader {
 public:
  ShardedLoader(std::shared_ptr<const data::Dataset> dataset, data::Transform transform, ShardedLoaderOptions options,
                const ddp::Shard& shard);

  // Begins an epoch behind its first `done` samples, of all ranks. Where that has begun already and nothing was taken
  // of it, it goes on.
  void start(int64_t epoch, int64_t done = 0);
  // Once, in the epoch under way or the next to start: when its last batches are in work, `next` starts `epoch`, so
  // that its first batches are ready when this loader's are used up. `next` outlives that moment. The memory is that of
  // two loaders: each has prefetch + 1 batches and the one in the caller's hands at most, and keeps them between
  // epochs.
  void followed_by(ShardedLoader& next, int64_t epoch) { follower_ = {&next, epoch}; }
  // Of what start() began with; the number is the same on every rank.
  int64_t batches() const { return plan_.batches(); }
  // Samples of all ranks in batch number `batch`, broken pictures included.
  int64_t samples_in(int64_t batch) const { return plan_.samples_in(batch); }
  // This rank's share of the next batch, which may be empty. See Loader::next for the errors.
  Result<data::Batch> next();
  // Whether next() would not wait.
  bool ready();
  // What ToTensor and Normalize do, for who takes bytes.
  const data::ChannelStatistics& statistics() const { return statistics_; }

  int64_t size() const { return dataset_->size(); }
  int64_t classes() const { return std::ssize(dataset_->classes()); }
  int64_t skipped() const { return loader_.skipped(); }
  const std::optional<Error>& first_skipped() const { return loader_.first_skipped(); }

 private:
  struct Start {
    int64_t epoch = 0;
    int64_t done = 0;
    bool operator==(const Start&) const = default;
  };
  struct Follower {
    ShardedLoader* loader = nullptr;
    int64_t epoch = 0;
  };

  std::vector<int64_t> order(int64_t epoch) const;
  void let_follower_start();

  std::shared_ptr<const data::Dataset> dataset_;
  ShardedLoaderOptions options_;
  ddp::Shard shard_;
  int image_size_;
  data::ChannelStatistics statistics_;
  data::Loader loader_;
  ddp::EpochPlan plan_;
  int64_t delivered_ = 0;
  std::optional<Start> untouched_;  // started, and no batch was taken yet
  std::optional<Follower> follower_;
};

// " (the first: …/3.jpg: …)", for a message; empty where this rank has skipped none.
std::string first_reason(const ShardedLoader& loader);

}  // namespace ferrun::train
