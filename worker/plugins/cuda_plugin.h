// The door to everything CUDA: a plug-in library beside the worker, built where CUDA's headers are and loaded only for
// --device cuda. The worker itself links neither CUDA nor NCCL and starts as fast as without them.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "common/result.h"
#include "worker/plugins/gpu_arithmetic.h"

namespace at {
class Tensor;
}

namespace c10d {
class ProcessGroup;
class Store;
}  // namespace c10d

namespace ferrun {

// A copy to the GPU that is under way. Its end waits until the GPU has read what is copied.
class DeviceCopy {
 public:
  virtual ~DeviceCopy() = default;
  // Whether the GPU has read it. Does not wait.
  virtual bool done() const = 0;
  // The copy, behind which comes what is asked of this thread's stream from here on. Does not wait.
  virtual at::Tensor tensor() = 0;
};

// Work that was recorded: what it reads and writes has its place for as long as this lives.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  // Does all of it once, behind what this thread has asked for. Does not wait. Throws c10::Error.
  virtual void replay() = 0;
};

// A table of functions; the plug-in exports `ferrun_cuda_plugin` which returns it. Both sides are built together.
struct CudaPlugin {
  int interface_version;
  // GPUs that this process may use (CUDA_VISIBLE_DEVICES counts); 0 without a driver.
  int (*device_count)();
  // Why that is 0, in CUDA's words: no driver, one that is too old, no device. Empty when it is not.
  std::string (*why_no_device)();
  // Makes GPU `index` current for this process, with the settings that suit fixed picture sizes. Before the process has
  // threads. Throws c10::Error.
  void (*use_device)(int index, const GpuArithmetic& arithmetic);
  // Its name and NCCL's version, for a person.
  std::string (*describe)(int index);
  // Whether that GPU multiplies in bfloat16.
  bool (*has_bfloat16)(int index);
  // Gives the group an NCCL backend for CUDA tensors and makes it the default one. Throws c10::Error.
  void (*attach_nccl)(c10d::ProcessGroup& group, const c10::intrusive_ptr<c10d::Store>& store, int device,
                      std::chrono::milliseconds timeout);
  // Waits until the GPU has done all that was asked of it.
  void (*synchronize)();
  // Page-locked memory, which the GPU copies from while the host goes on; null when there is none left. Any thread.
  void* (*allocate_pinned)(size_t bytes);
  void (*release_pinned)(void* memory);
  // Starts to copy a tensor of the host's to GPU `device` on a stream of its own, beside what is computed. The memory
  // must stay as it is until the copy is done. Throws c10::Error.
  std::unique_ptr<DeviceCopy> (*start_copy)(const at::Tensor& host, int device);
  // From now on this thread's work is on a stream of its own, as what is to be recorded has to be, and all that leads
  // to it: before the first tensor. CUDA records nothing of the default stream.
  void (*use_own_stream)(int device);
  // Records what `work` asks of the GPU on this thread's stream; nothing of it is done. Waits for the GPU. Throws
  // c10::Error, after which the GPU can be used as before.
  std::unique_ptr<DeviceGraph> (*record_graph)(const std::function<void()>& work);
};

constexpr int kCudaPluginVersion = 4;
using CudaPluginEntry = const CudaPlugin* (*)();

// Loads the plug-in from the worker's own folder or from ../lib/ferrun beside it, once. Failure: one line for a person.
Result<const CudaPlugin*> load_cuda_plugin();

}  // namespace ferrun
