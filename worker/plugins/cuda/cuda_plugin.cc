// The CUDA side of the worker: one GPU for each rank, NCCL between them.
#include "worker/plugins/cuda_plugin.h"

#include <ATen/Context.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAFunctions.h>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

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

void use_device(int index) {
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(index));
  // All pictures of a run have one size, so cuDNN's trial of its algorithms pays from the second step on.
  at::globalContext().setBenchmarkCuDNN(true);
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

constexpr CudaPlugin kPlugin{kCudaPluginVersion, device_count, why_no_device, use_device, attach_nccl, synchronize};

}  // namespace
}  // namespace ferrun

extern "C" __attribute__((visibility("default"))) const ferrun::CudaPlugin* ferrun_cuda_plugin() {
  return &ferrun::kPlugin;
}
