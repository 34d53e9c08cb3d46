// How gradients travel: communication hooks for DistributedDataParallel, as torch.distributed's
// algorithms.ddp_comm_hooks are for Python.
//
//   net.register_comm_hook(bf16_compress_hook(group));
//
// One of one's own derives from c10d::CommHookInterface (torch/csrc/distributed/c10d/comm.hpp): runHook gets each
// bucket as soon as its gradients are complete, the same buckets in the same order on every rank, and returns a future
// of the tensor that replaces the bucket's; it divides by the number of ranks itself. parseHookResult takes that tensor
// out of the future's value. Its collectives go through c10d_group(); thread rule: autograd's thread.
#pragma once

#include <memory>

#include "worker/ddp/process_group.h"

namespace c10d {
class CommHookInterface;
}

namespace ferrun::ddp {

using CommHook = std::shared_ptr<c10d::CommHookInterface>;

// Half the bytes: gradients travel and are added as float16 or bfloat16, divided by the number of ranks before, as by
// Python's hooks of these names.
CommHook fp16_compress_hook(std::shared_ptr<ProcessGroup> group);
CommHook bf16_compress_hook(std::shared_ptr<ProcessGroup> group);
// What is done without a hook, the average in the gradients' own type: for hooks that do something beside it.
CommHook allreduce_hook(std::shared_ptr<ProcessGroup> group);

}  // namespace ferrun::ddp
