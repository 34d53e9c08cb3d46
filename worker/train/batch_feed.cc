#include "worker/train/batch_feed.h"

#include <ATen/ops/empty.h>

#include <new>
#include <utility>

namespace ferrun::train {
namespace {

constexpr size_t kBatchesAhead = 2;

class PinnedPixels final : public data::PixelMemory {
 public:
  explicit PinnedPixels(const CudaPlugin& plugin) : plugin_(plugin) {}
  void* allocate(size_t bytes) override {
    void* const memory = plugin_.allocate_pinned(bytes);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }
  void release(void* memory) noexcept override { plugin_.release_pinned(memory); }

 private:
  const CudaPlugin& plugin_;
};

}  // namespace

BatchFeed::BatchFeed(ShardedLoader& loader, const ComputeDevice& device, bool channels_last)
    : loader_(loader), device_(device), channels_last_(channels_last) {
  if (device.is_cuda()) normalize_.emplace(loader.statistics(), device.device);
}

data::LoaderOptions BatchFeed::for_device(data::LoaderOptions options, const ComputeDevice& device) {
  if (!device.is_cuda()) return options;
  options.bytes = true;
  options.memory = std::make_shared<PinnedPixels>(*device.cuda);
  return options;
}

void BatchFeed::start(int64_t epoch, int64_t done) {
  ahead_.clear();
  used_.clear();
  loader_.start(epoch, done);
  to_send_ = loader_.batches();
}

Result<BatchFeed::Batch> BatchFeed::next() {
  if (!normalize_) {
    Result<data::Batch> batch = loader_.next();
    if (!batch) return batch.error();
    std::vector<int64_t> labels = batch->labels;
    return Batch{to_tensors(std::move(*batch), channels_last_), std::move(labels)};
  }
  while (!used_.empty() && used_.front().pixels->done() && used_.front().targets->done()) used_.pop_front();
  if (ahead_.empty()) send_next();
  Travelling batch = std::move(ahead_.front());
  ahead_.pop_front();
  if (batch.error) return *batch.error;
  Batch here = arrived(batch);
  if (batch.pixels) used_.push_back(std::move(batch));
  // What is not decoded yet is not waited for: the device has work with the batch that is here.
  while (ahead_.size() < kBatchesAhead && to_send_ > 0 && loader_.ready()) send_next();
  return here;
}

void BatchFeed::send_next() {
  --to_send_;
  Travelling& batch = ahead_.emplace_back();
  Result<data::Batch> loaded = loader_.next();
  if (!loaded) {
    batch.error = loaded.error();
    to_send_ = 0;
    return;
  }
  batch.labels = loaded->labels;
  batch.host = to_tensors(std::move(*loaded), channels_last_, /*bytes=*/true);
  if (batch.labels.empty()) return;
  batch.pixels = device_.cuda->start_copy(batch.host.pixels, device_.device.index());
  batch.targets = device_.cuda->start_copy(batch.host.targets, device_.device.index());
}

BatchFeed::Batch BatchFeed::arrived(Travelling& batch) const {
  if (batch.pixels) {
    return {{(*normalize_)(batch.pixels->tensor(), channels_last_), batch.targets->tensor()}, batch.labels};
  }
  const at::TensorOptions on_device(device_.device);
  const int64_t side = batch.host.pixels.size(1);
  return {{at::empty({0, 3, side, side}, on_device.dtype(at::kFloat)), at::empty({0}, on_device.dtype(at::kLong))}, {}};
}

}  // namespace ferrun::train
