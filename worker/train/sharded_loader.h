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
#include "worker/train/epoch_plan.h"

namespace ferrun::train {

struct ShardedLoaderOptions {
  int64_t batch_size = 1;      // of all ranks; at least one sample for each
  bool shuffle = false;        // by torch.randperm seeded with seed + epoch
  data::LoaderOptions loader;  // its batch_size is set here
};

class ShardedLoader {
 public:
  ShardedLoader(std::shared_ptr<const data::Dataset> dataset, data::Transform transform, ShardedLoaderOptions options,
                const Shard& shard);

  // Begins an epoch behind its first `done` samples, of all ranks.
  void start(int64_t epoch, int64_t done = 0);
  // Of what start() began with; the number is the same on every rank.
  int64_t batches() const { return plan_.batches(); }
  // Samples of all ranks in batch number `batch`, broken pictures included.
  int64_t samples_in(int64_t batch) const { return plan_.samples_in(batch); }
  // This rank's share of the next batch, which may be empty. See Loader::next for the errors.
  Result<data::Batch> next();

  int64_t size() const { return dataset_->size(); }
  int64_t classes() const { return std::ssize(dataset_->classes()); }
  int64_t skipped() const { return loader_.skipped(); }
  const std::optional<Error>& first_skipped() const { return loader_.first_skipped(); }

 private:
  std::vector<int64_t> order(int64_t epoch) const;

  std::shared_ptr<const data::Dataset> dataset_;
  ShardedLoaderOptions options_;
  Shard shard_;
  int image_size_;
  data::Loader loader_;
  EpochPlan plan_;
  int64_t delivered_ = 0;
};

// " (the first: …/3.jpg: …)", for a message; empty where this rank has skipped none.
std::string first_reason(const ShardedLoader& loader);

}  // namespace ferrun::train
