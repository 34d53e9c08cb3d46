// Threads that make items ahead of the one who takes them, in order and with bounded memory: what a loader of batches
// is apart from what a batch holds. Free of LibTorch.
//
// An item (a batch) has parts (samples), which the threads share. Which thread does which part, and when, is chance;
// the order of the items is not. Thread rule: one thread calls start(), next(), ready(). The threads start with the
// first start(), so a process may fork before it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace ferrun::data {

class OrderedWork {
 public:
  class Item {
   public:
    explicit Item(int64_t parts) : parts_(parts) {}
    virtual ~Item() = default;
    Item(const Item&) = delete;
    Item& operator=(const Item&) = delete;

    int64_t parts() const { return parts_; }
    // For Pass::open(): there is nothing to do for it.
    void skip_work() { claimed_ = finished_ = parts_; }

   private:
    friend class OrderedWork;
    int64_t parts_;
    int64_t claimed_ = 0;   // guarded by OrderedWork's mutex, as `finished_` is
    int64_t finished_ = 0;  // `parts_` once finish() has returned
  };

  // One pass over the data. Immutable while it runs; items that are still in a thread's hands keep it alive.
  class Pass {
   public:
    virtual ~Pass() = default;
    virtual int64_t items() const = 0;
    // Called one at a time and in the order of the items, while no thread can claim anything: it should be short.
    virtual std::shared_ptr<Item> open(int64_t number) const = 0;
    // Any thread, several for one item at once, each part once. Nothing is thrown: a thread has nobody to catch it.
    virtual void work(Item& item, int64_t part) const = 0;
    // After all parts, on the thread that did the last one. Throws nothing.
    virtual void finish(Item& /*item*/) const {}
  };

  struct Options {
    int threads = 1;                   // 0: all work is done in next(), on the caller's thread
    int ahead = 2;                     // finished items that are kept ready at most, besides the one in work
    int64_t grain = 1;                 // parts that a thread claims at once
    void (*begin_thread)() = nullptr;  // called first in each thread
  };

  explicit OrderedWork(Options options) : options_(options) {}
  ~OrderedWork();  // stops the threads; each finishes at most what it has claimed
  OrderedWork(const OrderedWork&) = delete;
  OrderedWork& operator=(const OrderedWork&) = delete;

  // Begins the pass at item number `first`; drops what another pass left. Threads that the system refuses are done
  // without: the items are the same.
  void start(std::shared_ptr<const Pass> pass, int64_t first = 0);
  // The next item in order, finished; null at the end of the pass, and before the first.
  std::shared_ptr<Item> next();
  // Whether next() has nothing to wait for; without threads, which make nothing ahead, at the end of the pass alone.
  bool ready();
  // The number of the item that next() gives.
  int64_t position() const { return delivered_; }

 private:
  struct Open {
    std::shared_ptr<const Pass> pass;
    std::shared_ptr<Item> item;
  };

  bool finished(const Item& item) const { return item.finished_ == item.parts_; }
  bool window_has_first() const { return !window_.empty() && finished(*window_.front().item); }
  // The item whose next part is to be claimed, opened if there is room for one; null when there is nothing to do.
  Open* claimable();
  void run_thread();
  void start_threads();
  std::shared_ptr<Item> make_here();

  const Options options_;
  std::mutex mutex_;
  std::condition_variable work_ready_;  // for the threads: a part can be claimed, or stopping
  std::condition_variable item_ready_;  // for the caller: the oldest item is finished
  // Guarded by the mutex.
  std::shared_ptr<const Pass> pass_;
  int64_t items_ = 0;
  int64_t opened_ = 0;       // number of the next item to put in work
  std::deque<Open> window_;  // in work or finished, oldest first; at most ahead + 1
  bool stopping_ = false;

  // The caller's own.
  int64_t delivered_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace ferrun::data
