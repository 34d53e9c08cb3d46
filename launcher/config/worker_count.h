// How many workers --nproc-per-node means. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "launcher/config/device_count.h"
#include "launcher/config/host_facts.h"

namespace ferrun {

struct WorkerCount {
  int workers = 1;
  // One line each, to stand behind the option: devices that were passed over because they cannot be counted.
  std::vector<std::string> warnings;
  std::vector<std::string> notes;  // for --verbose
};

// A number; "cpu" for the usable cores; "gpu" for the devices that CUDA, or ROCm's HIP, would see; "auto" for "gpu"
// where there is one, else "cpu". The error is the second half of a line about the option.
Result<WorkerCount> worker_count(const std::string& text, const HostFacts& facts,
                                 MigInstances instances = MigInstances::kFirst);

}  // namespace ferrun
