// PowerSGD: gradients travel as two thin matrices a parameter instead of one large one, for slow networks. What the
// approximation loses stays on its rank and is added to the next step's gradient (error feedback).
//
//   PowerSgd power_sgd(group, {.matrix_approximation_rank = 2, .start_power_sgd_iter = 100});
//   net.register_comm_hook(power_sgd.hook());
//
// The numbers are those of torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook, the random ones too. Not for a
// group with Python ranks: Python's hook waits within a step where this one goes on with the next bucket.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "common/result.h"
#include "worker/checkpoint/value.h"
#include "worker/ddp/comm_hooks.h"
#include "worker/ddp/process_group.h"

namespace ferrun::ddp {

// As PowerSGDState's arguments in Python.
struct PowerSgdOptions {
  // The thin matrices' width: 1 to 4 are usual, more is more exact and takes more bytes.
  int64_t matrix_approximation_rank = 1;
  // Steps before it in which gradients travel whole: the first ones are sensitive. At least 2 with error feedback or
  // warm start.
  int64_t start_power_sgd_iter = 1000;
  // A gradient of n × m is compressed when (n + m) × rank × this is less than n × m; else it travels whole.
  double min_compression_rate = 2;
  bool use_error_feedback = true;
  // A step begins with the matrices of the step before, else with random ones.
  bool warm_start = true;
  // Added to each column's norm: 1e-8 where all gradients of a column can be 0, which otherwise become NaN.
  double orthogonalization_epsilon = 0;
  uint32_t random_seed = 0;
  // Python's batched_powerSGD_hook: a bucket's gradients are one square matrix. Faster, and much less exact.
  // min_compression_rate and orthogonalization_epsilon have no meaning then.
  bool batched = false;
};

// Copies stand for the same state. Thread rule: the thread of the backward passes.
class PowerSgd {
 public:
  // Throws std::invalid_argument when the options contradict each other.
  PowerSgd(std::shared_ptr<ProcessGroup> group, const PowerSgdOptions& options = {});

  // For one network.
  CommHook hook() const;

  // How many numbers there were to send since compression began, and how many were sent.
  std::pair<int64_t, int64_t> compression() const;

  // Steps taken, lost parts and matrices: each rank's own, to be saved by each rank. The tensors are this object's:
  // save them before the next backward pass.
  checkpoint::Value state_dict() const;
  // Of the same rank, world size, model and options; a bucket of another size is told by the next backward pass.
  // Failure: an entry that is missing or damaged, by its name; nothing is changed then.
  Status load_state_dict(const checkpoint::Value& state);

 private:
  class Hook;
  std::shared_ptr<Hook> hook_;
};

}  // namespace ferrun::ddp
