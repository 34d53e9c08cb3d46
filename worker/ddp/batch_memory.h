// Memory that large batches use in turns. The C library gives such back to the system each time, and the system's pages
// cost more than what is copied into them.
//
// Thread rule: any thread. A batch's tensor brings its memory back when the last that shares it is gone; what is spare
// goes with the BatchMemory.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

namespace ferrun::ddp {

class BatchMemory : public std::enable_shared_from_this<BatchMemory> {
 public:
  // Keeps at most so many pieces that no batch uses.
  explicit BatchMemory(size_t most_spare) : most_spare_(most_spare) {}
  BatchMemory(const BatchMemory&) = delete;
  BatchMemory& operator=(const BatchMemory&) = delete;

  // As at::empty() on the CPU.
  at::Tensor empty(at::IntArrayRef sizes, at::ScalarType type);

 private:
  struct Piece {
    at::DataPtr data;
    size_t bytes = 0;
  };
  struct Lease;

  Piece take(size_t bytes);
  void give_back(Piece piece);

  const size_t most_spare_;
  std::mutex mutex_;
  std::deque<Piece> spare_;  // the latest first
};

}  // namespace ferrun::ddp
