// Training with unequal numbers of inputs, as torch.distributed.algorithms.Join does it for DDP:
//
//   Join join = net.join();
//   for (const Batch& batch : batches) { net.zero_grad(); loss(net.forward(…)).backward(); optimizer.step(); }
//   join.finish();
//
// A rank that is done first takes part in the others' steps with gradients of zero, until every rank is done; all then
// have the model of the last. Each step costs one small all-reduce more. Every forward of the network within the scope
// is a step. Gradients are divided by the number of all ranks, or of those that have inputs: JoinOptions. What the
// optimizer keeps (momentum, Adam's averages) stays each rank's own, as in Python.
#pragma once

#include "worker/ddp/gradient_reducer.h"

namespace ferrun::ddp {

// Thread rule: the network's. The network outlives it.
class Join {
 public:
  // A collective in that every rank makes one.
  Join(GradientReducer& reducer, const JoinOptions& options) : reducer_(reducer) { reducer_.begin_join(options); }
  Join(const Join&) = delete;
  Join& operator=(const Join&) = delete;

  // Returns when no rank has inputs any more, with the last one's weights and buffers. Throws as a step does. Without
  // it the other ranks wait in vain: a scope that an exception leaves has to end the process.
  void finish() {
    while (reducer_.shadow()) {
    }
    reducer_.end_join();
  }

 private:
  GradientReducer& reducer_;
};

}  // namespace ferrun::ddp
