// What steps add up to, kept where they are computed. To read a number from a GPU is to wait for all the work that it
// was given, so the numbers of several steps are read at once; a step whose numbers are not finite is found then, and
// no later one has touched the weights meanwhile.
//
// Ownership: its own tensors. Thread rule: one thread. On every rank the same calls in the same order.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "worker/ddp/process_group.h"
#include "worker/train/metrics.h"

namespace ferrun::train {

// A step's numbers, of all ranks.
struct StepNumbers {
  int64_t step = 0;         // as add() was told
  SampleSums samples;       // of the ranks whose loss was finite
  int64_t not_finite = 0;   // ranks whose loss was not
  int64_t first_rank = -1;  // of them, where it is one alone
  bool spoilt = false;      // the step's gradients, which are equal on all ranks, were not finite
};

class StepLedger {
 public:
  // Holds `steps` steps at most.
  StepLedger(c10::Device device, int64_t steps);

  // A batch of the step under way; `numbers` are batch_numbers(). A loss that is not finite is counted as such alone.
  void add(const at::Tensor& numbers, int rank);
  // Takes the flag of the step's gradients (ddp::not_finite) and gives the one to leave the step out by: 1 once any
  // step was spoilt, so that the weights stay as they were before that one.
  at::Tensor note_gradients(const at::Tensor& spoilt);
  // The step under way is over; `step` is its number.
  void close(int64_t step);

  bool empty() const { return steps_.empty(); }
  bool full() const { return static_cast<int64_t>(steps_.size()) == rows_.size(0); }
  // The closed steps in order, and forgets them. A collective; the one place that waits for the device.
  std::vector<StepNumbers> read(ddp::ProcessGroup& group);

 private:
  at::Tensor row() const { return rows_.select(0, static_cast<int64_t>(steps_.size())); }

  at::Tensor rows_;    // steps × entries, doubles on the device
  at::Tensor failed_;  // one float on the device: 1 once a step was spoilt
  std::vector<int64_t> steps_;
};

}  // namespace ferrun::train
