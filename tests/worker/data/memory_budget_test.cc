#include "worker/data/memory_budget.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace ferrun::data {
namespace {

TEST(MemoryBudget, ThreadsNeverHoldMoreThanTheWholeTogether) {
  MemoryBudget budget(10);
  std::atomic<int> held = 0, most = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 500; ++round) {
        MemoryLease lease(budget);
        lease.take(4);
        const int now = held += 4;
        int before = most;
        while (now > before && !most.compare_exchange_weak(before, now)) {
        }
        held -= 4;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 8);
  EXPECT_GE(most, 4);
}

TEST(MemoryBudget, WhatIsLargerThanTheWholeIsHeldAlone) {
  MemoryBudget budget(10);
  std::atomic<bool> large = false;
  MemoryLease small(budget);
  small.take(1);
  std::thread waiting([&] {
    MemoryLease lease(budget);
    lease.take(1000);
    large = true;
  });
  EXPECT_FALSE(large);
  small.release();
  waiting.join();
  EXPECT_TRUE(large);
  small.take(10);  // the large one is given back
}

TEST(MemoryBudget, ALeaseGivesBackWhatItHeldBeforeItTakesAnew) {
  MemoryBudget budget(10);
  MemoryLease lease(budget);
  lease.take(10);
  lease.take(10);  // would wait for ever for its own ten
  MemoryLease without_a_budget;
  without_a_budget.take(int64_t{1} << 60);
}

}  // namespace
}  // namespace ferrun::data
