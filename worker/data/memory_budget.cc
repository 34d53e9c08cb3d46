#include "worker/data/memory_budget.h"

namespace ferrun::data {

void MemoryBudget::take(int64_t bytes) {
  std::unique_lock lock(mutex_);
  freed_.wait(lock, [&] { return taken_ == 0 || taken_ + bytes <= whole_; });
  taken_ += bytes;
}

void MemoryBudget::give_back(int64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    taken_ -= bytes;
  }
  freed_.notify_all();
}

}  // namespace ferrun::data
