// Where a rank computes: the CPU, or one GPU through the CUDA plug-in.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <optional>
#include <string>

#include "common/result.h"
#include "worker/plugins/cuda_plugin.h"
#include "worker/train/options.h"

namespace ferrun::train {

struct ComputeDevice {
  c10::Device device{c10::DeviceType::CPU};
  const CudaPlugin* cuda = nullptr;  // null on the CPU
  bool bfloat16 = true;              // multiplies in it, fast or not

  bool is_cuda() const { return cuda != nullptr; }
  // For a person: "cpu", "cuda (NVIDIA H200, NCCL 2.28.9)".
  std::string description() const;
  const char* name() const { return is_cuda() ? "cuda" : "cpu"; }
};

// `auto` takes a GPU where the plug-in, a driver and a GPU for each of the node's ranks are there, and is quiet
// otherwise; `cuda` fails with one line that says which of them is missing, the same on all ranks of a node. Must be
// called before anything asks LibTorch about CUDA.
Result<ComputeDevice> choose_device(DeviceChoice choice, const GpuArithmetic& arithmetic, int local_rank,
                                    int local_world_size);

// Autocast's type; nothing in full precision. Where nobody asked: bfloat16 on a GPU that has it, else none.
std::optional<c10::ScalarType> autocast_type(AmpChoice amp, const ComputeDevice& device);

// Sets this rank's computing threads and returns their number. `requested` 0: OMP_NUM_THREADS, else the process's cores
// divided by the node's ranks.
int set_compute_threads(int requested, int local_world_size);

// Threads that read pictures. `requested` is a number, or what DataOptions has for "auto" and for nothing: one on the
// CPU and auto on a GPU. auto: the rank's share of the `cores` without those that compute, at least one, at most 16.
int loader_threads(int requested, const ComputeDevice& device, int cores, int local_world_size, int compute_threads);
// The cores that this process may use.
int usable_cores();

}  // namespace ferrun::train
