// Brings a loader's batches to where they are computed with. On the CPU they are there. To a GPU they travel as bytes,
// two batches ahead and beside what is computed, from page-locked memory; ToTensor and Normalize are done there.
//
// Ownership: borrows the loader, whose batches nobody else takes meanwhile. Thread rule: one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "common/result.h"
#include "worker/train/batch_tensors.h"
#include "worker/train/device.h"
#include "worker/train/sharded_loader.h"

namespace ferrun::train {

class BatchFeed {
 public:
  // The loader was made with for_device().
  BatchFeed(ShardedLoader& loader, const ComputeDevice& device, bool channels_last);

  // What a loader for this device gives: floats on the CPU, else bytes in page-locked memory. `options` otherwise as it
  // is.
  static data::LoaderOptions for_device(data::LoaderOptions options, const ComputeDevice& device);

  // As ShardedLoader::start; what an unfinished epoch left is dropped.
  void start(int64_t epoch, int64_t done = 0);

  struct Batch {
    BatchTensors tensors;         // on the device
    std::vector<int64_t> labels;  // the targets, on the host
  };
  // As ShardedLoader::next, of which it is called as often as there are batches. May throw c10::Error.
  Result<Batch> next();

 private:
  // A batch on its way, or the reason why there is none.
  struct Travelling {
    std::optional<Error> error;
    std::vector<int64_t> labels;
    BatchTensors host;  // what is copied: it outlives the copies, which wait for the GPU at their end
    std::unique_ptr<DeviceCopy> pixels, targets;
  };

  void send_next();
  Batch arrived(Travelling& batch) const;

  ShardedLoader& loader_;
  ComputeDevice device_;
  bool channels_last_;
  std::optional<DeviceNormalize> normalize_;  // where bytes travel
  int64_t to_send_ = 0;
  std::deque<Travelling> ahead_;
  std::deque<Travelling> used_;  // which the GPU may still be reading
};

}  // namespace ferrun::train
