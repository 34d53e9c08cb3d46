// Where a rank computes: the CPU, or one GPU through the CUDA plug-in.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <optional>

#include "common/result.h"
#include "worker/plugins/cuda_plugin.h"
#include "worker/train/options.h"

namespace ferrun::train {

struct ComputeDevice {
  c10::Device device{c10::DeviceType::CPU};
  const CudaPlugin* cuda = nullptr;  // null on the CPU

  bool is_cuda() const { return cuda != nullptr; }
  const char* name() const { return is_cuda() ? "cuda" : "cpu"; }
};

// `auto` takes a GPU where the plug-in, a driver and a GPU for each of the node's ranks are there, and is quiet
// otherwise; `cuda` fails with one line that says which of them is missing, the same on all ranks of a node. Must be
// called before anything asks LibTorch about CUDA.
Result<ComputeDevice> choose_device(DeviceChoice choice, int local_rank, int local_world_size);

// Autocast's type; nothing in full precision.
std::optional<c10::ScalarType> autocast_type(AmpChoice amp, const ComputeDevice& device);

// Sets this rank's computing threads and returns their number. `requested` 0: OMP_NUM_THREADS, else the process's cores
// divided by the node's ranks.
int set_compute_threads(int requested, int local_world_size);

}  // namespace ferrun::train
