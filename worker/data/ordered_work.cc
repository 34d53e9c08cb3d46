#include "worker/data/ordered_work.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace ferrun::data {
namespace {

// Signals meant for the program are the main thread's business; faults stay with the thread that causes them.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t signals;
    sigfillset(&signals);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&signals, fault);
    pthread_sigmask(SIG_SETMASK, &signals, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

OrderedWork::~OrderedWork() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_ready_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void OrderedWork::start(std::shared_ptr<const Pass> pass, int64_t first) {
  std::deque<Open> dropped;  // destroyed outside of the lock; a thread still at work on one of these keeps it
  {
    const std::lock_guard lock(mutex_);
    pass_.swap(pass);
    items_ = pass_->items();
    opened_ = delivered_ = std::clamp<int64_t>(first, 0, items_);
    dropped.swap(window_);
  }
  if (static_cast<int>(threads_.size()) < options_.threads) start_threads();
  work_ready_.notify_all();
}

std::shared_ptr<OrderedWork::Item> OrderedWork::next() {
  if (delivered_ == items_) return nullptr;
  ++delivered_;
  if (threads_.empty()) return make_here();
  std::shared_ptr<Item> item;
  {
    std::unique_lock lock(mutex_);
    item_ready_.wait(lock, [this] { return window_has_first(); });
    item = std::move(window_.front().item);
    window_.pop_front();
  }
  work_ready_.notify_all();
  return item;
}

bool OrderedWork::ready() {
  if (delivered_ == items_) return true;
  const std::lock_guard lock(mutex_);
  return window_has_first();
}

OrderedWork::Open* OrderedWork::claimable() {
  // Parts are claimed in order, so only the newest item can have one left.
  while (window_.empty() || window_.back().item->claimed_ == window_.back().item->parts_) {
    if (opened_ == items_ || static_cast<int>(window_.size()) > options_.ahead) return nullptr;
    window_.push_back({pass_, pass_->open(opened_++)});
    if (window_has_first()) item_ready_.notify_one();
  }
  return &window_.back();
}

void OrderedWork::run_thread() {
  if (options_.begin_thread != nullptr) options_.begin_thread();
  std::unique_lock lock(mutex_);
  while (true) {
    Open* found = nullptr;
    work_ready_.wait(lock, [&] { return stopping_ || (found = claimable()) != nullptr; });
    if (stopping_) return;
    Open open = *found;
    Item& item = *open.item;
    const int64_t begin = item.claimed_;
    const int64_t end = std::min(begin + options_.grain, item.parts_);
    item.claimed_ = end;
    lock.unlock();
    for (int64_t part = begin; part < end; ++part) open.pass->work(item, part);
    lock.lock();
    const bool last = item.finished_ + (end - begin) == item.parts_;
    if (last) {
      lock.unlock();
      open.pass->finish(item);
      lock.lock();
    }
    item.finished_ += end - begin;
    if (last && !window_.empty() && window_.front().item == open.item) item_ready_.notify_one();
    // What a dropped pass leaves is destroyed without the lock.
    lock.unlock();
    open = {};
    lock.lock();
  }
}

void OrderedWork::start_threads() {
  const SignalsBlocked blocked;
  try {
    while (static_cast<int>(threads_.size()) < options_.threads) threads_.emplace_back([this] { run_thread(); });
  } catch (const std::system_error&) {
    // A process limit: go on with the threads that there are, or on the caller's.
  }
}

std::shared_ptr<OrderedWork::Item> OrderedWork::make_here() {
  std::shared_ptr<Item> item = pass_->open(opened_++);
  if (finished(*item)) return item;
  for (int64_t part = 0; part < item->parts_; ++part) pass_->work(*item, part);
  pass_->finish(*item);
  return item;
}

}  // namespace ferrun::data
