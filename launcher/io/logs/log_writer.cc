#include "launcher/io/logs/log_writer.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <span>
#include <thread>

#include "common/io/clock.h"
#include "common/io/quiet_thread.h"
#include "launcher/io/logs/log_target.h"
#include "launcher/logs/log_patience.h"

namespace ferrun {
namespace {

// How much is fetched at once of what lies elsewhere.
constexpr size_t kFetchSize = 64 << 10;
constexpr const char* kNotFetched = "the reader of the console came too late, and the log file does not have them";

constexpr Duration kAskEvery = std::chrono::milliseconds(50);

}  // namespace

// Shared with the thread, which may outlive the writer when it hangs in a write.
struct LogWriter::State {
  struct Slot {
    Slot(LogTarget made, bool is_owned, std::shared_ptr<LogFileProgress> told)
        : target(std::move(made)), owned(is_owned), progress(std::move(told)) {}
    ~Slot() {
      if (owned && target.fd() >= 0) ::close(target.fd());
    }

    LogTarget target;  // used by the thread without the lock
    bool owned;
    std::shared_ptr<LogFileProgress> progress;
    std::function<int()> open;  // not opened yet
    LogLoss unsaid;             // as the thread last saw them; under the lock
    const char* reason = "";
  };

  explicit State(Options given) : options(std::move(given)), queue(options.queue_bytes) {}

  void run();
  bool write_next(std::unique_lock<std::mutex>& lock);
  void write_here(std::unique_lock<std::mutex>& lock);
  LogTarget::Hooks hooks(const std::shared_ptr<LogFileProgress>& progress);
  Target add(std::unique_ptr<Slot> slot);
  void wake(const std::shared_ptr<State>& self, std::unique_lock<std::mutex> lock);
  void execute(LogQueue::Front& front, Slot& slot);
  void fetch(LogQueue::Front& front, LogTarget& target);
  void remove(const LogQueue::Front& front);
  bool wait_for_end(std::unique_lock<std::mutex>& lock, const Patience& patience);
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
  bool wrote_here = false;  // without a thread
  bool stopping = false;    // no more work comes
  bool finished = false;    // the thread has done all it had to do
  bool abandoned = false;   // nobody waits for the thread, nothing may be called back
  std::atomic<TimePoint::rep> moved_at{TimePoint{}.time_since_epoch().count()};
};

void LogWriter::State::run() {
  std::unique_lock lock(mutex);
  while (true) {
    work.wait(lock, [&] { return stopping || !queue.empty(); });
    if (queue.empty()) break;
    if (!write_next(lock)) return;
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

// Under the lock, which it opens meanwhile. False: nobody waits any more.
bool LogWriter::State::write_next(std::unique_lock<std::mutex>& lock) {
  LogQueue::Front front = queue.front();
  Slot* slot = slots[front.target].get();
  lock.unlock();
  if (slot != nullptr) execute(front, *slot);
  lock.lock();
  if (abandoned) return false;
  remove(front);
  if (slot != nullptr) publish(front.target);
  if (front.kind == LogQueue::Kind::kEnd) end_target(front.target);
  if (notify_below && queue.queued() <= *notify_below) {
    notify_below.reset();
    options.drained();
  }
  return true;
}

// A destination that stands still holds up whoever writes: better than a job that ends for want of a thread.
void LogWriter::State::write_here(std::unique_lock<std::mutex>& lock) {
  wrote_here = true;
  while (!queue.empty() && write_next(lock)) {
  }
}

void LogWriter::State::execute(LogQueue::Front& front, Slot& slot) {
  if (slot.open) slot.target.open(std::exchange(slot.open, nullptr)());
  if (slot.target.fd() < 0) return;
  switch (front.kind) {
    case LogQueue::Kind::kBytes:
      slot.target.write(std::span(front.pieces.data(), front.piece_count), monotonic_now());
      break;
    case LogQueue::Kind::kElsewhere: fetch(front, slot.target); break;
    case LogQueue::Kind::kLoss: slot.target.add_loss(front.loss, options.full_reason); break;
    case LogQueue::Kind::kEnd: slot.target.finish(); break;
  }
}

// Leaves in `front` what is done with: all of it when it cannot be fetched.
void LogWriter::State::fetch(LogQueue::Front& front, LogTarget& target) {
  std::optional<LogSource::Piece> piece = front.source->next(std::min<size_t>(front.loss.bytes, kFetchSize));
  if (!piece) return target.add_loss(front.loss, kNotFetched);
  front.loss = piece->taken;
  const std::string_view text = piece->text;
  target.write({&text, 1}, monotonic_now());
}

void LogWriter::State::remove(const LogQueue::Front& front) {
  if (front.kind == LogQueue::Kind::kElsewhere) {
    queue.pop_elsewhere(front.loss);
  } else {
    queue.pop(front.size);
  }
}

LogTarget::Hooks LogWriter::State::hooks(const std::shared_ptr<LogFileProgress>& progress) {
  LogTarget::Hooks hooks;
  hooks.wrote = [this, progress](size_t bytes) {
    moved_at.store(monotonic_now().time_since_epoch().count(), std::memory_order_relaxed);
    if (progress) progress->advance(bytes);
  };
  if (progress) hooks.missed = [progress] { progress->fail(); };
  return hooks;
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

LogWriter::~LogWriter() { finish({}); }

LogWriter::Target LogWriter::State::add(std::unique_ptr<Slot> slot) {
  const std::lock_guard lock(mutex);
  slots.push_back(std::move(slot));
  return slots.size() - 1;
}

void LogWriter::State::wake(const std::shared_ptr<State>& self, std::unique_lock<std::mutex> lock) {
  if (!thread.joinable()) {
    std::optional<std::thread> started = start_quiet_thread([self] { self->run(); });
    if (!started) return write_here(lock);
    thread = std::move(*started);
  }
  lock.unlock();  // the thread needs it at once
  work.notify_one();
}

LogWriter::Target LogWriter::add(std::string name, int fd, bool owned, std::shared_ptr<LogFileProgress> progress) {
  LogTarget target(std::move(name), fd, state_->hooks(progress));
  return state_->add(std::make_unique<State::Slot>(std::move(target), owned, std::move(progress)));
}

LogWriter::Target LogWriter::add_rotated(const std::string& path, int fd, const LogRotation& rotation) {
  LogTarget target(path, fd, state_->hooks(nullptr));
  target.rotate(rotation);
  return state_->add(std::make_unique<State::Slot>(std::move(target), /*is_owned=*/true, nullptr));
}

LogWriter::Target LogWriter::add_unopened(std::string name, std::function<int()> open) {
  auto slot = std::make_unique<State::Slot>(LogTarget(std::move(name), -1), /*is_owned=*/true, nullptr);
  slot->open = std::move(open);
  return state_->add(std::move(slot));
}

void LogWriter::write(Target target, std::string_view bytes, size_t reserve) {
  std::unique_lock lock(state_->mutex);
  if (!state_->queue.push(target, bytes, reserve)) {
    LogLoss loss;
    loss.add(bytes);
    state_->queue.push_loss(target, loss);
  }
  state_->wake(state_, std::move(lock));
}

void LogWriter::write_later(Target target, const std::shared_ptr<LogSource>& source, std::string_view bytes) {
  LogLoss output;
  output.add(bytes);
  std::unique_lock lock(state_->mutex);
  state_->queue.push_elsewhere(target, source, output);
  state_->wake(state_, std::move(lock));
}

void LogWriter::lose(Target target, std::string_view bytes) {
  LogLoss loss;
  loss.add(bytes);
  std::unique_lock lock(state_->mutex);
  state_->queue.push_loss(target, loss);
  state_->wake(state_, std::move(lock));
}

void LogWriter::end(Target target) {
  const std::lock_guard lock(state_->mutex);
  if (state_->thread.joinable()) {
    state_->queue.push_end(target);
    state_->work.notify_one();
  } else {
    // Nothing was ever written by a thread.
    if (state_->wrote_here && state_->slots[target] != nullptr) state_->slots[target]->target.finish();
    state_->slots[target].reset();
  }
}

size_t LogWriter::queued() const {
  const std::lock_guard lock(state_->mutex);
  return state_->queue.queued();
}

TimePoint LogWriter::moved_at() const {
  return TimePoint(TimePoint::duration(state_->moved_at.load(std::memory_order_relaxed)));
}

void LogWriter::notify_below(size_t size) {
  const std::lock_guard lock(state_->mutex);
  state_->notify_below = size;
  if (state_->queue.queued() > size) return;
  state_->notify_below.reset();
  state_->options.drained();
}

bool LogWriter::State::wait_for_end(std::unique_lock<std::mutex>& lock, const Patience& patience) {
  LastWait wait(patience.since, patience.standstill, monotonic_now());
  while (!finished) {
    const TimePoint moved{TimePoint::duration(moved_at.load(std::memory_order_relaxed))};
    const TimePoint now = monotonic_now();
    const TimePoint given_up = wait.given_up(moved);
    if (now >= given_up) return false;
    ended.wait_for(lock, std::min(given_up - now, kAskEvery));
    if (!patience.hurry || !wait.can_hurry()) continue;
    lock.unlock();
    if (patience.hurry()) wait.hurry();
    lock.lock();
  }
  return true;
}

std::vector<LogWriter::Unwritten> LogWriter::finish(const Patience& patience) {
  std::unique_lock lock(state_->mutex);
  if (!state_->thread.joinable()) {
    for (const auto& slot : state_->slots) {
      if (state_->wrote_here && slot != nullptr) slot->target.finish();
    }
    return {};
  }
  state_->stopping = true;
  state_->work.notify_one();
  const bool finished = state_->wait_for_end(lock, patience);
  state_->abandoned = !finished;
  std::vector<Unwritten> unwritten;
  for (Target index = 0; index < state_->slots.size(); ++index) {
    const State::Slot* slot = state_->slots[index].get();
    if (slot == nullptr) continue;
    if (slot->progress) slot->progress->fail();  // whoever waits for more waits in vain
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
