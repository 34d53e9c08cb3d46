#include "launcher/io/logs/log_writer.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <span>
#include <thread>

#include "common/io/clock.h"
#include "launcher/io/logs/log_target.h"

namespace ferrun {
namespace {

// A thread that takes no signal: they are the event loop's.
std::thread start_without_signals(std::function<void()> body) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(body));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

// Shared with the thread, which may outlive the writer when it hangs in a write.
struct LogWriter::State {
  struct Slot {
    Slot(std::string name, int fd, bool is_owned) : target(std::move(name), fd), owned(is_owned) {}
    ~Slot() {
      if (owned) ::close(target.fd());
    }

    LogTarget target;  // used by the thread without the lock
    bool owned;
    LogLoss unsaid;  // as the thread last saw them; under the lock
    const char* reason = "";
  };

  explicit State(Options given) : options(std::move(given)), queue(options.queue_bytes) {}

  void run();
  void execute(const LogQueue::Front& front, Slot& slot);
  void publish(Target index);
  void end_target(Target index);

  Options options;
  mutable std::mutex mutex;
  std::condition_variable work;
  std::condition_variable ended;
  LogQueue queue;
  std::vector<std::unique_ptr<Slot>> slots;  // empty once the destination has ended
  std::optional<size_t> notify_below;
  std::thread thread;
  bool stopping = false;   // no more work comes
  bool finished = false;   // the thread has done all it had to do
  bool abandoned = false;  // nobody waits for the thread, nothing may be called back
};

void LogWriter::State::run() {
  std::unique_lock lock(mutex);
  while (true) {
    work.wait(lock, [&] { return stopping || !queue.empty(); });
    if (queue.empty()) break;
    const LogQueue::Front front = queue.front();
    Slot* slot = slots[front.target].get();
    lock.unlock();
    if (slot != nullptr) execute(front, *slot);
    lock.lock();
    if (abandoned) return;
    queue.pop(front.size);
    if (slot != nullptr) publish(front.target);
    if (front.kind == LogQueue::Kind::kEnd) end_target(front.target);
    if (notify_below && queue.queued() <= *notify_below) {
      notify_below.reset();
      options.drained();
    }
  }
  for (Target index = 0; index < slots.size(); ++index) {
    if (slots[index] == nullptr) continue;
    lock.unlock();
    slots[index]->target.finish();
    lock.lock();
    if (abandoned) return;
    publish(index);
  }
  finished = true;
  ended.notify_all();
}

void LogWriter::State::execute(const LogQueue::Front& front, Slot& slot) {
  switch (front.kind) {
    case LogQueue::Kind::kBytes:
      slot.target.write(std::span(front.pieces.data(), front.piece_count), monotonic_now());
      break;
    case LogQueue::Kind::kLoss: slot.target.add_loss(front.loss, options.full_reason); break;
    case LogQueue::Kind::kEnd: slot.target.finish(); break;
  }
}

void LogWriter::State::publish(Target index) {
  Slot& slot = *slots[index];
  slot.unsaid = slot.target.unsaid();
  slot.reason = slot.target.reason();
  for (const std::string& line : slot.target.take_reports()) {
    if (options.report) options.report(line);
  }
}

void LogWriter::State::end_target(Target index) {
  if (slots[index] == nullptr) return;
  const Slot& slot = *slots[index];
  if (!slot.unsaid.empty() && options.report)
    options.report(describe_loss(slot.target.name(), slot.unsaid, slot.reason));
  slots[index].reset();
}

LogWriter::LogWriter(Options options) : state_(std::make_shared<State>(std::move(options))) {}

LogWriter::~LogWriter() { finish(TimePoint{}); }

LogWriter::Target LogWriter::add(std::string name, int fd, bool owned) {
  const std::lock_guard lock(state_->mutex);
  state_->slots.push_back(std::make_unique<State::Slot>(std::move(name), fd, owned));
  if (!state_->thread.joinable()) {
    state_->thread = start_without_signals([state = state_] { state->run(); });
  }
  return state_->slots.size() - 1;
}

void LogWriter::write(Target target, std::string_view bytes, size_t reserve) {
  const std::lock_guard lock(state_->mutex);
  if (!state_->queue.push(target, bytes, reserve)) {
    LogLoss loss;
    loss.add(bytes);
    state_->queue.push_loss(target, loss);
  }
  state_->work.notify_one();
}

void LogWriter::lose(Target target, std::string_view bytes) {
  LogLoss loss;
  loss.add(bytes);
  const std::lock_guard lock(state_->mutex);
  state_->queue.push_loss(target, loss);
  state_->work.notify_one();
}

void LogWriter::end(Target target) {
  const std::lock_guard lock(state_->mutex);
  state_->queue.push_end(target);
  state_->work.notify_one();
}

size_t LogWriter::queued() const {
  const std::lock_guard lock(state_->mutex);
  return state_->queue.queued();
}

void LogWriter::notify_below(size_t size) {
  const std::lock_guard lock(state_->mutex);
  state_->notify_below = size;
  if (state_->queue.queued() > size) return;
  state_->notify_below.reset();
  state_->options.drained();
}

std::vector<LogWriter::Unwritten> LogWriter::finish(TimePoint deadline) {
  std::unique_lock lock(state_->mutex);
  if (!state_->thread.joinable()) return {};
  state_->stopping = true;
  state_->work.notify_one();
  const std::chrono::steady_clock::time_point until(deadline.time_since_epoch());
  const bool finished = state_->ended.wait_until(lock, until, [&] { return state_->finished; });
  state_->abandoned = !finished;
  std::vector<Unwritten> unwritten;
  for (Target index = 0; index < state_->slots.size(); ++index) {
    const State::Slot* slot = state_->slots[index].get();
    if (slot == nullptr) continue;
    LogLoss loss = slot->unsaid;
    loss.add(state_->queue.count_unwritten(index));
    const char* reason = slot->unsaid.empty() ? state_->options.full_reason : slot->reason;
    if (!loss.empty()) unwritten.push_back({slot->target.name(), loss, reason});
  }
  std::thread thread = std::move(state_->thread);
  lock.unlock();
  if (!finished) {
    thread.detach();
    return unwritten;
  }
  thread.join();
  state_->slots.clear();
  return unwritten;
}

}  // namespace ferrun
