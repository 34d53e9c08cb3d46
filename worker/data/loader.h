// Background loading of batches with bounded memory. Free of LibTorch: a batch is plain floats, or bytes.
//
// Sample i of a batch is a function of (dataset, indices, seed, epoch) alone: every sample draws its augmentation from
// its own generator seeded by (seed, epoch, dataset index), so thread count and timing change nothing.
// Thread rule: one thread uses a Loader. Its own threads start with the first `start`, so a process may fork before
// that.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/data/dataset.h"
#include "worker/data/memory_budget.h"
#include "worker/data/pixel_buffer.h"
#include "worker/data/transforms.h"

namespace ferrun::data {

struct Batch {
  // N × 3 × height × width normalised values: channels-first, or N × height × width × 3 when the loader was made with
  // `channels_last` (the memory order of a channels_last tensor). With `bytes` N × height × width × 3 bytes, which
  // ToTensor and Normalize have not seen. The memory goes back to the loader with the batch.
  PixelBuffer pixels;
  std::vector<int64_t> labels;   // N
  std::vector<int64_t> indices;  // N, dataset indices, in order
  int height = 0;
  int width = 0;
};

enum class BadImages { kFail, kSkip };

struct LoaderOptions {
  int64_t batch_size = 1;
  int64_t least_batch = 1;  // samples; a last batch of fewer joins the one before it
  int threads = 1;          // 0: decode in `next()` on the caller's thread
  int prefetch = 2;         // finished batches kept ready at most, besides the one in work
  bool drop_last = false;
  bool channels_last = false;
  bool bytes = false;                             // see Batch::pixels
  std::shared_ptr<PixelMemory> memory = nullptr;  // of the batches; null: the heap's
  BadImages bad_images = BadImages::kFail;
  uint64_t seed = 42;
  // What the pictures in the threads' hands may take together, at their decoders' peak. One that needs more is decoded
  // while no other is. Loaders that were made with copies of the same options share it.
  std::shared_ptr<MemoryBudget> decode_memory = std::make_shared<MemoryBudget>(int64_t{1} << 30);
};

class Loader {
 public:
  Loader(std::shared_ptr<const Dataset> dataset, Transform transform, LoaderOptions options);
  ~Loader();  // stops the threads; each finishes at most the picture in its hands
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Starts an epoch over `indices` (a sampler's output), beginning at batch number `first_batch`; drops what an earlier
  // epoch left. Threads that the system refuses are done without: the batches are the same.
  void start(std::vector<int64_t> indices, int64_t epoch, int64_t first_batch = 0);

  // The next batch in order; nullopt at the end of the epoch. With kFail the error names the batch's first broken
  // picture. With kSkip a broken picture is left out of its batch and counted; the others stay as they are. The number
  // of batches never changes, so that all ranks take the same steps: a batch all of whose pictures are broken comes
  // empty (N = 0). Failures that are not the picture's own (no memory, too many open files, a disk error) are errors in
  // both modes.
  Result<std::optional<Batch>> next();

  // Whether next() would not wait.
  bool ready();

  int64_t batches_per_epoch() const;  // of the epoch that was started
  // Different broken pictures left out of the batches handed out since construction; one that comes again in another
  // epoch, or as padding, counts once.
  int64_t skipped() const;
  // Why the first of them was left out, with its path; nothing when there is none.
  const std::optional<Error>& first_skipped() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ferrun::data
