// Ranks that see one GPU each (ferrun --devices=isolate, --virtual-local-rank): all of them have LOCAL_RANK 0. Pure.
#pragma once

#include <string_view>

namespace ferrun::train {

// Whether CUDA_VISIBLE_DEVICES names one device: "3", "GPU-4f21", "MIG-…". Its rank 0 may then be one of several that
// have a device of their own.
inline bool names_one_device(std::string_view visible_devices) {
  return !visible_devices.empty() && visible_devices.find(',') == std::string_view::npos;
}

// The GPUs that this node's ranks need of those that this rank sees: each other rank has its own elsewhere where this
// one sees a single device, the one that it was given.
inline int devices_needed(int local_rank, int local_world_size, std::string_view visible_devices) {
  if (local_rank == 0 && names_one_device(visible_devices)) return 1;
  return local_world_size > local_rank ? local_world_size : local_rank + 1;
}

}  // namespace ferrun::train
