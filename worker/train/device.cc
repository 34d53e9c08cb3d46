#include "worker/train/device.h"

#include <ATen/Parallel.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "worker/train/one_device.h"

namespace ferrun::train {
namespace {

constexpr const char* kDriverFile = "/dev/nvidiactl";

// Every rank of the node finds the same: those that have a GPU must not wait for one that has none.
Error too_few(const CudaPlugin& plugin, int count, int ranks) {
  std::string words = "--device cuda: ";
  if (count == 0) {
    const std::string why = plugin.why_no_device();
    words += "no GPU can be used here" + (why.empty() ? "" : " (" + why + ")");
  } else {
    words += std::to_string(ranks) + " ranks on this machine need a GPU each, and " + std::to_string(count) +
             " can be used here: start fewer ranks";
  }
  return Error{ErrorKind::kUsage, words + (count == 0 ? "; use --device cpu" : ", or use --device cpu")};
}

Result<ComputeDevice> choose_gpu(const GpuArithmetic& arithmetic, int local_rank, int local_world_size) {
  const Result<const CudaPlugin*> plugin = load_cuda_plugin();
  if (!plugin) {
    return plugin.error();
  }
  const int count = (*plugin)->device_count();
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  const int ranks = devices_needed(local_rank, local_world_size, visible == nullptr ? "" : visible);
  if (ranks > count) return too_few(**plugin, count, ranks);
  (*plugin)->use_device(local_rank, arithmetic);
  return ComputeDevice{c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(local_rank)), *plugin,
                       (*plugin)->has_bfloat16(local_rank)};
}

}  // namespace

std::string ComputeDevice::description() const {
  return is_cuda() ? std::string(name()) + " (" + cuda->describe(device.index()) + ")" : name();
}

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    return std::max(1, CPU_COUNT(&set));
  }
  return 1;
}

int loader_threads(int requested, const ComputeDevice& device, int cores, int local_world_size, int compute_threads) {
  constexpr int kMost = 16;
  if (requested >= 0) return requested;
  if (requested == DataOptions::kDefaultWorkers && !device.is_cuda()) return 1;
  return std::clamp(cores / std::max(1, local_world_size) - (device.is_cuda() ? 1 : compute_threads), 1, kMost);
}

Result<ComputeDevice> choose_device(DeviceChoice choice, const GpuArithmetic& arithmetic, int local_rank,
                                    int local_world_size) {
  if (choice == DeviceChoice::kCuda) {
    return choose_gpu(arithmetic, local_rank, local_world_size);
  }
  if (choice == DeviceChoice::kAuto && access(kDriverFile, F_OK) == 0) {
    Result<ComputeDevice> gpu = choose_gpu(arithmetic, local_rank, local_world_size);
    if (gpu) {
      return gpu;
    }
  }
  return ComputeDevice{};
}

std::optional<c10::ScalarType> autocast_type(AmpChoice amp, const ComputeDevice& device) {
  switch (amp) {
    case AmpChoice::kOff: return std::nullopt;
    case AmpChoice::kBFloat16: return c10::ScalarType::BFloat16;
    case AmpChoice::kFloat16: return c10::ScalarType::Half;
    case AmpChoice::kDeviceDefault: return device.bfloat16 ? c10::ScalarType::BFloat16 : c10::ScalarType::Half;
    case AmpChoice::kUnasked:
      return device.is_cuda() && device.bfloat16 ? std::optional(c10::ScalarType::BFloat16) : std::nullopt;
  }
  return std::nullopt;
}

int set_compute_threads(int requested, int local_world_size) {
  at::set_num_interop_threads(1);
  if (requested > 0) {
    at::set_num_threads(requested);
  } else if (std::getenv("OMP_NUM_THREADS") == nullptr) {
    at::set_num_threads(std::max(1, usable_cores() / std::max(1, local_world_size)));
  }
  return at::get_num_threads();
}

}  // namespace ferrun::train
