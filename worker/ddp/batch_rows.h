// The tensors of a batch, filled while its samples are made: each sample's go to their rows on the thread that made
// it, where they are still in its cache, and are let go of at once.
//
// Samples that are not alike (another number of tensors, another size or type, not on the CPU, part of a graph) are
// kept as they came, for at::stack to decide. Thread rule: take() from any thread, each place once; the others after
// all of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "worker/ddp/batch_memory.h"

namespace ferrun::ddp {

class BatchRows {
 public:
  BatchRows(int64_t samples, std::shared_ptr<BatchMemory> memory) : samples_(samples), memory_(std::move(memory)) {}
  BatchRows(const BatchRows&) = delete;
  BatchRows& operator=(const BatchRows&) = delete;

  // The tensors of the sample at `place`, in the order that all samples have; those that got a row are left undefined.
  void take(std::span<at::Tensor* const> tensors, int64_t place);
  // Whether every sample's tensors have their rows.
  bool complete() const { return begun_ && !unlike_; }
  // Where they are complete.
  std::vector<at::Tensor> batch() const;
  // Where they are not: gives a sample's tensors back.
  void give_back(std::span<at::Tensor* const> tensors, int64_t place) const;

 private:
  struct Column {
    at::Tensor rows;             // undefined where the first sample's tensor could have none
    std::vector<uint8_t> taken;  // by place; each written by one thread
  };
  void begin(std::span<at::Tensor* const> tensors);

  const int64_t samples_;
  const std::shared_ptr<BatchMemory> memory_;
  std::once_flag once_;
  std::vector<Column> columns_;
  bool begun_ = false;
  std::atomic<bool> unlike_ = false;
};

}  // namespace ferrun::ddp
