#include "worker/train/sharded_loader.h"

#include <utility>

#include "worker/ddp/distributed_order.h"

namespace ferrun::train {
namespace {

data::LoaderOptions own_options(const ShardedLoaderOptions& options, const ddp::Shard& shard) {
  data::LoaderOptions own = options.loader;
  own.batch_size = ddp::share_of(options.batch_size, shard);
  own.least_batch = options.least_share;
  return own;
}

}  // namespace

ShardedLoader::ShardedLoader(std::shared_ptr<const data::Dataset> dataset, data::Transform transform,
                             ShardedLoaderOptions options, const ddp::Shard& shard)
    : dataset_(std::move(dataset)),
      options_(options),
      shard_(shard),
      image_size_(transform.size()),
      statistics_(transform.statistics()),
      loader_(dataset_, transform, own_options(options, shard)) {}

void ShardedLoader::start(int64_t epoch, int64_t done) {
  const Start wanted{epoch, done};
  if (untouched_ == wanted) return;
  untouched_ = wanted;
  plan_ = ddp::EpochPlan::make(order(epoch), done, options_.batch_size, shard_, options_.least_share);
  delivered_ = 0;
  loader_.start(plan_.indices, epoch);
}

Result<data::Batch> ShardedLoader::next() {
  untouched_.reset();
  let_follower_start();
  if (plan_.own_samples_in(delivered_++) > 0) {
    Result<std::optional<data::Batch>> batch = loader_.next();
    if (!batch) return batch.error();
    return std::move(**batch);
  }
  data::Batch empty;
  empty.height = empty.width = image_size_;
  return empty;
}

bool ShardedLoader::ready() { return plan_.own_samples_in(delivered_) == 0 || loader_.ready(); }

// What is left then fits the threads' window: they have nothing else to begin.
void ShardedLoader::let_follower_start() {
  if (!follower_ || plan_.batches() - delivered_ > options_.loader.prefetch + 1) return;
  const Follower follower = *follower_;
  follower_.reset();
  follower.loader->start(follower.epoch);
}

std::string first_reason(const ShardedLoader& loader) {
  return loader.first_skipped() ? " (the first: " + loader.first_skipped()->message + ")" : "";
}

// The sampler of a world of one has the whole order.
std::vector<int64_t> ShardedLoader::order(int64_t epoch) const {
  ddp::DistributedOrder sampler;
  sampler.dataset_size = dataset_->size();
  sampler.shuffle = options_.shuffle;
  sampler.seed = options_.loader.seed;
  return sampler.indices(epoch);
}

}  // namespace ferrun::train
