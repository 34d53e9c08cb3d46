// A dataset whose pictures are decoded once and kept, as many as fit a bound; the others are decoded each time. A small
// data set then costs its decoding in the first epoch alone. Thread rule: `load_into` from several threads at once.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "worker/data/dataset.h"

namespace ferrun::data {

// What several datasets keep together may take. Thread rule: any thread.
class CacheBudget {
 public:
  explicit CacheBudget(int64_t bytes) : left_(bytes) {}
  // Whether so many were left; they are taken then, for good.
  bool take(int64_t bytes);
  int64_t left() const { return left_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> left_;
};

class CachedDataset final : public Dataset {
 public:
  CachedDataset(std::shared_ptr<const Dataset> pictures, std::shared_ptr<CacheBudget> budget);
  ~CachedDataset() override;

  int64_t size() const override { return pictures_->size(); }
  const std::vector<std::string>& classes() const override { return pictures_->classes(); }
  int label(int64_t index) const override { return pictures_->label(index); }
  std::string name(int64_t index) const override { return pictures_->name(index); }
  std::string identity(int64_t index) const override { return pictures_->identity(index); }
  // One that cannot be read is not kept: its error comes each time.
  Status load_into(int64_t index, Image& image, MemoryLease& memory) const override;

 private:
  const std::shared_ptr<const Dataset> pictures_;
  const std::shared_ptr<CacheBudget> budget_;
  // By picture; null where it is not kept. Written once.
  mutable std::vector<std::atomic<const Image*>> kept_;
};

// Every part of the split kept within one bound of `bytes`; the split itself for none.
Split cached(const Split& split, int64_t bytes);

}  // namespace ferrun::data
