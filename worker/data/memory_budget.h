// One budget of memory for the pictures that several threads decode at once: two large ones take turns instead of
// ending the run out of memory. Thread rule: a MemoryBudget may be used from any thread; a MemoryLease belongs to one.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace ferrun::data {

class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t bytes) : whole_(bytes) {}

  // Waits until `bytes` are free. A request for more than the whole waits until nobody else holds any: it is granted
  // then, alone.
  void take(int64_t bytes);
  void give_back(int64_t bytes);

 private:
  std::mutex mutex_;
  std::condition_variable freed_;
  const int64_t whole_;
  int64_t taken_ = 0;
};

// What one thread holds of a budget; none, and nothing waits, without one. Gives back at its end. A thread has one
// lease at most, so that nobody waits for bytes while holding some.
class MemoryLease {
 public:
  MemoryLease() = default;
  explicit MemoryLease(MemoryBudget& budget) : budget_(&budget) {}
  ~MemoryLease() { release(); }
  MemoryLease(const MemoryLease&) = delete;
  MemoryLease& operator=(const MemoryLease&) = delete;

  // Gives back what it holds and waits for `bytes`.
  void take(int64_t bytes) {
    release();
    if (budget_ == nullptr) return;
    budget_->take(bytes);
    held_ = bytes;
  }
  void release() {
    if (held_ > 0) budget_->give_back(held_);
    held_ = 0;
  }

 private:
  MemoryBudget* budget_ = nullptr;  // outlives the lease
  int64_t held_ = 0;
};

}  // namespace ferrun::data
