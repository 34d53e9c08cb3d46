#include "worker/data/loader.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <unordered_set>
#include <utility>

namespace ferrun::data {
namespace {

// A thread keeps its decoded picture's memory up to this size; a rare huge picture does not stay.
constexpr size_t kKeptPixels = size_t{16} << 20;

// A batch in work. `claimed`, `finished` and `failures` are guarded by the loader's mutex; each sample's floats are
// written by the one thread that claimed it.
struct Slot {
  Batch batch;
  int64_t claimed = 0;
  int64_t finished = 0;
  std::vector<std::pair<int64_t, Error>> failures;  // sample within the batch, why

  int64_t size() const { return static_cast<int64_t>(batch.indices.size()); }
  bool done() const { return finished == size(); }
};

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

// Closes the gaps that left-out samples leave in a batch; `failures` is sorted by sample.
void leave_out(const std::vector<std::pair<int64_t, Error>>& failures, size_t sample_values, size_t value_bytes,
               Batch& batch) {
  const size_t sample_bytes = sample_values * value_bytes;
  size_t to = 0;
  auto failure = failures.begin();
  for (size_t from = 0; from < batch.indices.size(); ++from) {
    if (failure != failures.end() && failure->first == static_cast<int64_t>(from)) {
      ++failure;
      continue;
    }
    if (to != from) {
      std::copy_n(batch.pixels.bytes() + from * sample_bytes, sample_bytes, batch.pixels.bytes() + to * sample_bytes);
      batch.labels[to] = batch.labels[from];
      batch.indices[to] = batch.indices[from];
    }
    ++to;
  }
  batch.pixels.truncate(to * sample_values);
  batch.labels.resize(to);
  batch.indices.resize(to);
}

}  // namespace

struct Loader::Impl {
  Impl(std::shared_ptr<const Dataset> pictures, Transform how, LoaderOptions what)
      : dataset(std::move(pictures)),
        transform(std::move(how)),
        options(std::move(what)),
        pool(std::make_shared<PixelPool>(options.memory)) {}

  const std::shared_ptr<const Dataset> dataset;
  const Transform transform;
  const LoaderOptions options;
  const std::shared_ptr<PixelPool> pool;
  const size_t sample_values = 3 * static_cast<size_t>(transform.size()) * static_cast<size_t>(transform.size());
  const size_t value_bytes = options.bytes ? 1 : sizeof(float);

  std::mutex mutex;
  std::condition_variable work_ready;   // for the threads: a sample can be claimed, or stopping
  std::condition_variable batch_ready;  // for the caller: the oldest batch is done
  // Guarded by the mutex.
  std::vector<int64_t> indices;
  int64_t epoch = 0;
  int64_t batches = 0;
  int64_t opened = 0;                        // number of the next batch to put in work
  std::deque<std::shared_ptr<Slot>> window;  // in work or finished, oldest first; at most prefetch + 1
  bool stopping = false;

  // The caller's own.
  int64_t delivered = 0;                // number of the next batch to hand out
  std::unordered_set<int64_t> skipped;  // dataset indices
  std::optional<Error> first_skipped;
  std::optional<Error> failed;
  std::vector<std::thread> threads;

  std::shared_ptr<Slot> open_slot() {
    auto slot = std::make_shared<Slot>();
    const int64_t begin = opened++ * options.batch_size;
    const bool last = opened == batches && !options.drop_last;
    const int64_t end = last ? static_cast<int64_t>(indices.size()) : begin + options.batch_size;
    slot->batch.indices.assign(indices.begin() + begin, indices.begin() + end);
    for (const int64_t index : slot->batch.indices) slot->batch.labels.push_back(dataset->label(index));
    slot->batch.height = slot->batch.width = transform.size();
    try {
      slot->batch.pixels = pool->take(slot->batch.indices.size() * sample_values, value_bytes);
    } catch (const std::bad_alloc&) {
      slot->claimed = slot->finished = slot->size();
      slot->failures.emplace_back(
          0, Error{ErrorKind::kPlatform, "out of memory for a batch of " + std::to_string(slot->size()) +
                                             " pictures; use a smaller --batch-size"});
    }
    return slot;
  }

  // Decodes and transforms one sample into its place. Nothing is thrown: a thread has nobody to catch it.
  std::optional<Error> fill(Slot& slot, int64_t sample, int64_t of_epoch) const {
    thread_local Image image;
    MemoryLease lease(*options.decode_memory);
    const int64_t index = slot.batch.indices[static_cast<size_t>(sample)];
    try {
      if (Status loaded = dataset->load_into(index, image, lease); !loaded) return loaded.error();
      const uint64_t seed = sample_seed(options.seed, of_epoch, index);
      const size_t place = static_cast<size_t>(sample) * sample_values;
      PixelBuffer& pixels = slot.batch.pixels;
      const Status done = options.bytes ? transform.apply_bytes(image, seed, pixels.bytes() + place)
                                        : transform.apply(image, seed, options.channels_last, pixels.data() + place);
      if (!done) return Error{done.error().kind, dataset->name(index) + ": " + done.error().message};
      if (image.pixels.capacity() > kKeptPixels) image = Image{};
    } catch (const std::bad_alloc&) {
      return Error{ErrorKind::kPlatform, dataset->name(index) + ": out of memory while loading it"};
    } catch (const std::exception& error) {
      return Error{ErrorKind::kInternal, dataset->name(index) + ": " + error.what()};
    }
    return std::nullopt;
  }

  // The batch whose next sample is to be claimed, opened if there is room for one; null when there is nothing to do.
  std::shared_ptr<Slot> claimable() {
    // Samples are claimed in order, so only the newest batch can have one left.
    while (window.empty() || window.back()->claimed == window.back()->size()) {
      if (opened == batches || static_cast<int>(window.size()) > options.prefetch) return nullptr;
      window.push_back(open_slot());
      if (window.front()->done()) batch_ready.notify_one();
    }
    return window.back();
  }

  void run_thread() {
    std::unique_lock lock(mutex);
    while (true) {
      std::shared_ptr<Slot> slot;
      work_ready.wait(lock, [&] { return stopping || (slot = claimable()) != nullptr; });
      if (stopping) return;
      const int64_t sample = slot->claimed++;
      const int64_t of_epoch = epoch;
      lock.unlock();
      std::optional<Error> failure = fill(*slot, sample, of_epoch);
      lock.lock();
      if (failure) slot->failures.emplace_back(sample, std::move(*failure));
      ++slot->finished;
      if (slot->done() && !window.empty() && window.front() == slot) batch_ready.notify_one();
    }
  }

  void start_threads() {
    const SignalsBlocked blocked;
    try {
      while (static_cast<int>(threads.size()) < options.threads) threads.emplace_back([this] { run_thread(); });
    } catch (const std::system_error&) {
      // A process limit: go on with the threads that there are, or on the caller's.
    }
  }

  void stop_threads() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    work_ready.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  // The oldest batch, complete.
  std::shared_ptr<Slot> take_slot() {
    std::unique_lock lock(mutex);
    if (threads.empty()) {
      std::shared_ptr<Slot> slot = open_slot();
      while (!slot->done()) {
        const int64_t sample = slot->finished++;
        if (std::optional<Error> failure = fill(*slot, sample, epoch))
          slot->failures.emplace_back(sample, std::move(*failure));
      }
      return slot;
    }
    batch_ready.wait(lock, [&] { return !window.empty() && window.front()->done(); });
    std::shared_ptr<Slot> slot = std::move(window.front());
    window.pop_front();
    lock.unlock();
    work_ready.notify_all();
    return slot;
  }

  // Deals with the batch's broken pictures as the options say.
  Status settle(Slot& slot) {
    if (slot.failures.empty()) return ok_status();
    std::sort(slot.failures.begin(), slot.failures.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [sample, error] : slot.failures) {
      if (error.kind != ErrorKind::kUser) return error;
      if (options.bad_images == BadImages::kFail)
        return Error{error.kind, error.message + " (--bad-images=skip leaves such pictures out)"};
    }
    if (!first_skipped) first_skipped = slot.failures.front().second;
    for (const auto& [sample, error] : slot.failures) skipped.insert(slot.batch.indices[static_cast<size_t>(sample)]);
    leave_out(slot.failures, sample_values, value_bytes, slot.batch);
    return ok_status();
  }
};

Loader::Loader(std::shared_ptr<const Dataset> dataset, Transform transform, LoaderOptions options)
    : impl_(std::make_unique<Impl>(std::move(dataset), std::move(transform), options)) {}

Loader::~Loader() { impl_->stop_threads(); }

void Loader::start(std::vector<int64_t> indices, int64_t epoch, int64_t first_batch) {
  Impl& self = *impl_;
  {
    const std::lock_guard lock(self.mutex);
    const int64_t size = self.options.batch_size;
    const auto samples = static_cast<int64_t>(indices.size());
    self.indices = std::move(indices);
    self.epoch = epoch;
    const bool joins = samples > size && samples % size < self.options.least_batch;
    self.batches = self.options.drop_last || joins ? samples / size : (samples + size - 1) / size;
    self.opened = self.delivered = std::clamp<int64_t>(first_batch, 0, self.batches);
    self.failed.reset();
    self.window.clear();  // a thread still at work on one of these owns it, and drops it when done
  }
  if (static_cast<int>(self.threads.size()) < self.options.threads) self.start_threads();
  self.work_ready.notify_all();
}

Result<std::optional<Batch>> Loader::next() {
  Impl& self = *impl_;
  if (self.failed) return *self.failed;
  if (self.delivered == self.batches) return std::optional<Batch>();
  const std::shared_ptr<Slot> slot = self.take_slot();
  ++self.delivered;
  if (Status settled = self.settle(*slot); !settled) {
    self.failed = settled.error();
    return settled.error();
  }
  return std::optional<Batch>(std::move(slot->batch));
}

bool Loader::ready() {
  Impl& self = *impl_;
  if (self.failed || self.delivered == self.batches) return true;
  const std::lock_guard lock(self.mutex);
  return !self.window.empty() && self.window.front()->done();
}

int64_t Loader::batches_per_epoch() const { return impl_->batches; }
int64_t Loader::skipped() const { return static_cast<int64_t>(impl_->skipped.size()); }
const std::optional<Error>& Loader::first_skipped() const { return impl_->first_skipped; }

}  // namespace ferrun::data
