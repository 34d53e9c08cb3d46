#include "launcher/io/node/file_worker.h"

#include <boost/asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "common/io/quiet_thread.h"

namespace ferrun {

namespace asio = boost::asio;

// Shared with the thread, which may outlive the worker and the loop.
struct FileWorker::State : std::enable_shared_from_this<FileWorker::State> {
  using Guard = asio::executor_work_guard<asio::io_context::executor_type>;

  bool start_thread();
  void work_until_closed();
  void report(Then then);

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Work> queue;
  bool working = false;
  asio::io_context* io = nullptr;  // null when the worker is gone
  bool started = false;
  // On the loop: work whose result has not come back keeps it running.
  size_t awaited = 0;
  std::optional<Guard> guard;
};

bool FileWorker::State::start_thread() {
  std::optional<std::thread> thread = start_quiet_thread([self = shared_from_this()] { self->work_until_closed(); });
  if (!thread) return false;
  thread->detach();
  return started = true;
}

void FileWorker::State::work_until_closed() {
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait(lock, [this] { return io == nullptr || !queue.empty(); });
    if (io == nullptr) return;
    Work work = std::move(queue.front());
    queue.pop_front();
    working = true;
    lock.unlock();
    Then then = work();
    work = nullptr;
    lock.lock();
    working = false;
    report(std::move(then));
    // Whoever wakes up finds the lock free.
    lock.unlock();
    changed.notify_all();
    lock.lock();
  }
}

// Under the lock: the loop exists as long as the worker does.
void FileWorker::State::report(Then then) {
  if (io == nullptr) return;
  asio::post(*io, [weak = weak_from_this(), then = std::move(then)] {
    const auto self = weak.lock();
    if (!self || self->io == nullptr) return;
    if (--self->awaited == 0) self->guard.reset();
    if (then) then();
  });
}

FileWorker::FileWorker(asio::io_context& io) : state_(std::make_shared<State>()) { state_->io = &io; }

FileWorker::~FileWorker() {
  const std::lock_guard lock(state_->mutex);
  state_->io = nullptr;
  state_->guard.reset();
  state_->queue.clear();
  state_->changed.notify_all();
}

void FileWorker::run(Work work) {
  if (state_->awaited++ == 0) state_->guard.emplace(state_->io->get_executor());
  std::unique_lock lock(state_->mutex);
  state_->queue.push_back(std::move(work));
  if (!state_->started && !state_->start_thread()) {
    // No room for a thread: the loop waits for its disk.
    Work here = std::move(state_->queue.front());
    state_->queue.pop_front();
    lock.unlock();
    Then then = here();
    lock.lock();
    return state_->report(std::move(then));
  }
  lock.unlock();
  state_->changed.notify_all();
}

bool FileWorker::wait(Duration most) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, most, [this] { return state_->queue.empty() && !state_->working; });
}

}  // namespace ferrun
