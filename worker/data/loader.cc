#include "worker/data/loader.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <mutex>
#include <new>
#include <unordered_set>
#include <utility>

#include "worker/data/ordered_work.h"
#include "worker/data/random.h"

namespace ferrun::data {
namespace {

// A thread keeps its decoded picture's memory up to this size; a rare huge picture does not stay.
constexpr size_t kKeptPixels = size_t{16} << 20;

// A batch in work. `failures` is guarded by the mutex; each sample's floats are written by one thread.
struct Slot final : OrderedWork::Item {
  explicit Slot(std::vector<int64_t> indices) : Item(std::ssize(indices)) { batch.indices = std::move(indices); }

  Batch batch;
  std::mutex mutex;
  std::vector<std::pair<int64_t, Error>> failures;  // sample within the batch, why
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

// What the threads read of a loader; epochs share it.
struct Source {
  std::shared_ptr<const Dataset> dataset;
  Transform transform;
  LoaderOptions options;
  std::shared_ptr<PixelPool> pool = std::make_shared<PixelPool>(options.memory);
  size_t sample_values = 3 * static_cast<size_t>(transform.size()) * static_cast<size_t>(transform.size());
  size_t value_bytes = options.bytes ? 1 : sizeof(float);
};

class Epoch final : public OrderedWork::Pass {
 public:
  Epoch(std::shared_ptr<const Source> source, std::vector<int64_t> indices, int64_t number)
      : source_(std::move(source)), indices_(std::move(indices)), number_(number) {
    const LoaderOptions& options = source_->options;
    const int64_t size = options.batch_size, samples = std::ssize(indices_);
    const bool joins = samples > size && samples % size < options.least_batch;
    batches_ = options.drop_last || joins ? samples / size : (samples + size - 1) / size;
  }

  int64_t items() const override { return batches_; }

  std::shared_ptr<OrderedWork::Item> open(int64_t number) const override {
    const Source& source = *source_;
    const int64_t begin = number * source.options.batch_size;
    const bool last = number + 1 == batches_ && !source.options.drop_last;
    const int64_t end = last ? std::ssize(indices_) : begin + source.options.batch_size;
    auto slot = std::make_shared<Slot>(std::vector<int64_t>(indices_.begin() + begin, indices_.begin() + end));
    for (const int64_t index : slot->batch.indices) slot->batch.labels.push_back(source.dataset->label(index));
    slot->batch.height = slot->batch.width = source.transform.size();
    try {
      slot->batch.pixels = source.pool->take(slot->batch.indices.size() * source.sample_values, source.value_bytes);
    } catch (const std::bad_alloc&) {
      slot->skip_work();
      slot->failures.emplace_back(
          0, Error{ErrorKind::kPlatform, "out of memory for a batch of " + std::to_string(slot->parts()) +
                                             " pictures; use a smaller --batch-size"});
    }
    return slot;
  }

  void work(OrderedWork::Item& item, int64_t sample) const override {
    auto& slot = static_cast<Slot&>(item);
    std::optional<Error> failure = fill(slot, sample);
    if (!failure) return;
    const std::lock_guard lock(slot.mutex);
    slot.failures.emplace_back(sample, std::move(*failure));
  }

 private:
  // Decodes and transforms one sample into its place. Nothing is thrown: a thread has nobody to catch it.
  std::optional<Error> fill(Slot& slot, int64_t sample) const {
    thread_local Image image;
    const Source& source = *source_;
    const Dataset& dataset = *source.dataset;
    MemoryLease lease(*source.options.decode_memory);
    const int64_t index = slot.batch.indices[static_cast<size_t>(sample)];
    try {
      if (Status loaded = dataset.load_into(index, image, lease); !loaded) return loaded.error();
      const uint64_t seed = sample_seed(source.options.seed, number_, index);
      const size_t place = static_cast<size_t>(sample) * source.sample_values;
      PixelBuffer& pixels = slot.batch.pixels;
      const Status done = source.options.bytes ? source.transform.apply_bytes(image, seed, pixels.bytes() + place)
                                               : source.transform.apply(image, seed, source.options.channels_last,
                                                                        pixels.data() + place);
      if (!done) return Error{done.error().kind, dataset.name(index) + ": " + done.error().message};
      if (image.pixels.capacity() > kKeptPixels) image = Image{};
    } catch (const std::bad_alloc&) {
      return Error{ErrorKind::kPlatform, dataset.name(index) + ": out of memory while loading it"};
    } catch (const std::exception& error) {
      return Error{ErrorKind::kInternal, dataset.name(index) + ": " + error.what()};
    }
    return std::nullopt;
  }

  std::shared_ptr<const Source> source_;
  std::vector<int64_t> indices_;
  int64_t number_;
  int64_t batches_ = 0;
};

}  // namespace

struct Loader::Impl {
  explicit Impl(Source all)
      : source(std::make_shared<const Source>(std::move(all))),
        work({.threads = source->options.threads, .ahead = source->options.prefetch}) {}

  const std::shared_ptr<const Source> source;
  int64_t batches = 0;
  std::unordered_set<int64_t> skipped;  // dataset indices
  std::optional<Error> first_skipped;
  std::optional<Error> failed;
  OrderedWork work;

  // Deals with the batch's broken pictures as the options say.
  Status settle(Slot& slot) {
    if (slot.failures.empty()) return ok_status();
    std::sort(slot.failures.begin(), slot.failures.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [sample, error] : slot.failures) {
      if (error.kind != ErrorKind::kUser) return error;
      if (source->options.bad_images == BadImages::kFail)
        return Error{error.kind, error.message + " (--bad-images=skip leaves such pictures out)"};
    }
    if (!first_skipped) first_skipped = slot.failures.front().second;
    for (const auto& [sample, error] : slot.failures) skipped.insert(slot.batch.indices[static_cast<size_t>(sample)]);
    leave_out(slot.failures, source->sample_values, source->value_bytes, slot.batch);
    return ok_status();
  }
};

Loader::Loader(std::shared_ptr<const Dataset> dataset, Transform transform, LoaderOptions options)
    : impl_(std::make_unique<Impl>(Source{std::move(dataset), std::move(transform), std::move(options)})) {}

Loader::~Loader() = default;

void Loader::start(std::vector<int64_t> indices, int64_t epoch, int64_t first_batch) {
  auto pass = std::make_shared<const Epoch>(impl_->source, std::move(indices), epoch);
  impl_->batches = pass->items();
  impl_->failed.reset();
  impl_->work.start(std::move(pass), first_batch);
}

Result<std::optional<Batch>> Loader::next() {
  Impl& self = *impl_;
  if (self.failed) return *self.failed;
  const std::shared_ptr<OrderedWork::Item> item = self.work.next();
  if (item == nullptr) return std::optional<Batch>();
  auto& slot = static_cast<Slot&>(*item);
  if (Status settled = self.settle(slot); !settled) {
    self.failed = settled.error();
    return settled.error();
  }
  return std::optional<Batch>(std::move(slot.batch));
}

bool Loader::ready() { return impl_->failed || impl_->work.ready(); }

int64_t Loader::batches_per_epoch() const { return impl_->batches; }
int64_t Loader::skipped() const { return static_cast<int64_t>(impl_->skipped.size()); }
const std::optional<Error>& Loader::first_skipped() const { return impl_->first_skipped; }

}  // namespace ferrun::data
