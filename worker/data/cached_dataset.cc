#include "worker/data/cached_dataset.h"

#include <new>
#include <utility>

namespace ferrun::data {

bool CacheBudget::take(int64_t bytes) {
  int64_t left = left_.load(std::memory_order_relaxed);
  while (left >= bytes) {
    if (left_.compare_exchange_weak(left, left - bytes, std::memory_order_relaxed)) return true;
  }
  return false;
}

CachedDataset::CachedDataset(std::shared_ptr<const Dataset> pictures, std::shared_ptr<CacheBudget> budget)
    : pictures_(std::move(pictures)), budget_(std::move(budget)), kept_(static_cast<size_t>(pictures_->size())) {}

CachedDataset::~CachedDataset() {
  for (const std::atomic<const Image*>& image : kept_) delete image.load(std::memory_order_relaxed);
}

Status CachedDataset::load_into(int64_t index, Image& image, MemoryLease& memory) const {
  std::atomic<const Image*>& place = kept_[static_cast<size_t>(index)];
  if (const Image* const kept = place.load(std::memory_order_acquire)) {
    image.width = kept->width;
    image.height = kept->height;
    image.pixels.assign(kept->pixels.begin(), kept->pixels.end());
    return ok_status();
  }
  if (Status loaded = pictures_->load_into(index, image, memory); !loaded) return loaded;
  if (!budget_->take(static_cast<int64_t>(image.pixels.size()))) return ok_status();
  // Without memory for it, it is one that does not fit.
  std::unique_ptr<const Image> copy;
  try {
    copy = std::make_unique<const Image>(
        Image{image.width, image.height, std::vector<uint8_t>(image.pixels.begin(), image.pixels.end())});
  } catch (const std::bad_alloc&) {
    return ok_status();
  }
  const Image* nobody_else = nullptr;
  if (place.compare_exchange_strong(nobody_else, copy.get(), std::memory_order_release)) copy.release();
  return ok_status();
}

Split cached(const Split& split, int64_t bytes) {
  if (bytes <= 0) return split;
  const auto budget = std::make_shared<CacheBudget>(bytes);
  Split kept = split;
  for (std::shared_ptr<const Dataset>* part : {&kept.train, &kept.val, &kept.test}) {
    if (*part) *part = std::make_shared<const CachedDataset>(*part, budget);
  }
  return kept;
}

}  // namespace ferrun::data
