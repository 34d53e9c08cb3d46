// The CUDA side of the worker: one GPU for each rank, NCCL between them.
#include "worker/plugins/cuda_plugin.h"

#include <ATen/Context.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>

#include <cstdlib>
#include <functional>
#include <mutex>
#include <new>
#include <torch/csrc/distributed/c10d/NCCLUtils.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <unordered_map>
#include <utility>

namespace ferrun {
namespace {

// Never throws: without a driver the count is 0.
int device_count() { return c10::cuda::device_count(); }

std::string why_no_device() {
  try {
    c10::cuda::device_count_ensure_non_zero();
    return "";
  } catch (const c10::Error& error) {
    const std::string words = error.what_without_backtrace();
    return words.substr(0, words.find('\n'));
  }
}

// So that a person, or scripts/gpu-check, can count them: PyTorch then warns of each call that waits for the GPU.
void tell_waits_if_asked() {
  if (std::getenv("FERRUN_TELL_WAITS") == nullptr) return;
  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_WARN);
}

void use_device(int index, const GpuArithmetic& arithmetic) {
  tell_waits_if_asked();
  at::Context& context = at::globalContext();
  if (arithmetic.deterministic) {
    // cuBLAS asks the environment alone, at its first use.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    context.setDeterministicAlgorithms(true, /*warn_only=*/false);
    context.setDeterministicCuDNN(true);
  }
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(index));
  // All pictures of a run have one size, so cuDNN's trial of its algorithms pays from the second step on. It may choose
  // another one in another process.
  context.setBenchmarkCuDNN(!arithmetic.deterministic);
  context.setAllowTF32CuDNN(arithmetic.tf32);
  context.setAllowTF32CuBLAS(arithmetic.tf32);
}

std::string describe(int index) {
  return std::string(at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(index))->name) + ", NCCL " +
         c10d::getNcclVersion();
}

// Ampere, compute capability 8, is the first that does.
bool has_bfloat16(int index) { return at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(index))->major >= 8; }

// PyTorch's own allocator of page-locked memory: any thread may ask it, whichever GPU is the thread's.
class PinnedMemory {
 public:
  void* allocate(size_t bytes) {
    try {
      c10::DataPtr memory = at::getHostAllocator(c10::DeviceType::CUDA)->allocate(bytes);
      void* const address = memory.get();
      const std::lock_guard lock(mutex_);
      held_.emplace(address, std::move(memory));
      return address;
    } catch (const c10::Error&) {
      return nullptr;
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }
  void release(void* memory) {
    const std::lock_guard lock(mutex_);
    held_.erase(memory);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<void*, c10::DataPtr> held_;
};

// Never destroyed: buffers may outlive what is destroyed at the process's end, and CUDA is gone then.
PinnedMemory& pinned_memory() {
  static auto* const memory = new PinnedMemory;
  return *memory;
}

void* allocate_pinned(size_t bytes) { return pinned_memory().allocate(bytes); }
void release_pinned(void* memory) { pinned_memory().release(memory); }

class StreamCopy final : public DeviceCopy {
 public:
  StreamCopy(const at::Tensor& host, c10::DeviceIndex device) {
    static const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device);
    const c10::cuda::CUDAStreamGuard on_stream(stream);
    // A few labels come from the heap: they are moved once more, into memory that the allocator guards itself.
    source_ = host.is_pinned() ? host : host.pin_memory();
    copy_ = source_.to(c10::Device(c10::DeviceType::CUDA, device), host.scalar_type(), /*non_blocking=*/true);
    read_.record(stream);
  }
  ~StreamCopy() override { read_.synchronize(); }
  bool done() const override { return read_.query(); }
  at::Tensor tensor() override {
    const c10::cuda::CUDAStream current = c10::cuda::getCurrentCUDAStream();
    read_.block(current);
    copy_.record_stream(current);
    return copy_;
  }

 private:
  at::Tensor source_, copy_;
  at::cuda::CUDAEvent read_;
};

std::unique_ptr<DeviceCopy> start_copy(const at::Tensor& host, int device) {
  return std::make_unique<StreamCopy>(host, static_cast<c10::DeviceIndex>(device));
}

void use_own_stream(int device) {
  c10::cuda::setCurrentCUDAStream(
      c10::cuda::getStreamFromPool(/*isHighPriority=*/false, static_cast<c10::DeviceIndex>(device)));
}

class RecordedWork final : public DeviceGraph {
 public:
  explicit RecordedWork(const std::function<void()>& work) {
    c10::cuda::device_synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();  // the recording has memory of its own
    // Of this thread alone: NCCL's watchdog and the threads that read pictures go on using CUDA.
    graph_.capture_begin(pool_, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      abandon();
      throw;
    }
    try {
      graph_.capture_end();
    } catch (const c10::Error&) {
      return_memory();
      throw;
    }
  }
  void replay() override { graph_.replay(); }

 private:
  void abandon() {
    try {
      graph_.capture_end();
    } catch (const c10::Error&) {  // what failed has spoilt the recording, which is over all the same
      return_memory();
    }
  }
  // CUDAGraph does so once a recording has ended well.
  void return_memory() const {
    try {
      const c10::DeviceIndex device = c10::cuda::current_device();
      c10::cuda::CUDACachingAllocator::endAllocateToPool(device, pool_);
      c10::cuda::CUDACachingAllocator::releasePool(device, pool_);
    } catch (const c10::Error&) {  // it has ended there: nothing is left to give back
    }
  }

  at::cuda::MempoolId_t pool_ = at::cuda::graph_pool_handle();
  at::cuda::CUDAGraph graph_;
};

std::unique_ptr<DeviceGraph> record_graph(const std::function<void()>& work) {
  return std::make_unique<RecordedWork>(work);
}

void attach_nccl(c10d::ProcessGroup& group, const c10::intrusive_ptr<c10d::Store>& store, int device,
                 std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  const auto cuda_store = c10::make_intrusive<c10d::PrefixStore>("cuda/", store);
  auto nccl =
      c10::make_intrusive<c10d::ProcessGroupNCCL>(cuda_store, group.getRank(), group.getSize(), std::move(options));
  // Known before the first collective, so that a barrier uses this rank's GPU.
  const c10::Device own(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device));
  nccl->setBoundDeviceId(own);
  group.setBoundDeviceId(own);
  group.setBackend(c10::DeviceType::CUDA, c10d::ProcessGroup::BackendType::NCCL,
                   std::optional<c10::intrusive_ptr<c10d::Backend>>(nccl));
  group.setDefaultBackend(c10d::ProcessGroup::BackendType::NCCL);
}

void synchronize() { c10::cuda::device_synchronize(); }

constexpr CudaPlugin kPlugin{kCudaPluginVersion, device_count,   why_no_device, use_device,      describe,
                             has_bfloat16,       attach_nccl,    synchronize,   allocate_pinned, release_pinned,
                             start_copy,         use_own_stream, record_graph};

}  // namespace
}  // namespace ferrun

extern "C" __attribute__((visibility("default"))) const ferrun::CudaPlugin* ferrun_cuda_plugin() {
  return &ferrun::kPlugin;
}
