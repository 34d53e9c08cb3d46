// The door to everything CUDA: a plug-in library beside the worker, built where CUDA's headers are and loaded only for
// --device cuda. The worker itself links neither CUDA nor NCCL and starts as fast as without them.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <string>

#include "common/result.h"

namespace c10d {
class ProcessGroup;
class Store;
}  // namespace c10d

namespace ferrun {

// A table of functions; the plug-in exports `ferrun_cuda_plugin` which returns it. Both sides are built together.
struct CudaPlugin {
  int interface_version;
  // GPUs that this process may use (CUDA_VISIBLE_DEVICES counts); 0 without a driver.
  int (*device_count)();
  // Why that is 0, in CUDA's words: no driver, one that is too old, no device. Empty when it is not.
  std::string (*why_no_device)();
  // Makes GPU `index` current for this process, with the settings that suit fixed picture sizes. Throws c10::Error.
  void (*use_device)(int index);
  // Gives the group an NCCL backend for CUDA tensors and makes it the default one. Throws c10::Error.
  void (*attach_nccl)(c10d::ProcessGroup& group, const c10::intrusive_ptr<c10d::Store>& store, int device,
                      std::chrono::milliseconds timeout);
  // Waits until the GPU has done all that was asked of it.
  void (*synchronize)();
};

constexpr int kCudaPluginVersion = 2;
using CudaPluginEntry = const CudaPlugin* (*)();

// Loads the plug-in from the worker's own folder or from ../lib/ferrun beside it, once. Failure: one line for a person.
Result<const CudaPlugin*> load_cuda_plugin();

}  // namespace ferrun
