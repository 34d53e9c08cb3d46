#include "launcher/config/worker_count.h"

#include <optional>
#include <vector>

#include "launcher/config/device_count.h"
#include "launcher/config/values.h"
#include "rendezvous/job/limits.h"

namespace ferrun {
namespace {

using Uuids = std::optional<std::vector<std::string>>;

int visible_gpus(const Uuids& uuids, const Environment& environment) {
  return uuids ? visible_device_count(*uuids, environment.get("CUDA_VISIBLE_DEVICES")) : 0;
}

std::string why_no_gpu(const Uuids& uuids, const Environment& environment) {
  if (!uuids) return "no NVIDIA driver is loaded on this machine";
  if (uuids->empty()) return "the NVIDIA driver offers no device";
  return "CUDA_VISIBLE_DEVICES=" + environment.get_or("CUDA_VISIBLE_DEVICES", "") + " leaves none of the " +
         std::to_string(uuids->size()) + " devices";
}

}  // namespace

Result<int> worker_count(const std::string& text, const HostFacts& facts) {
  if (const std::optional<long> number = parse_integer(text)) {
    if (*number >= 1 && *number <= kMostWorkersOfNode) return static_cast<int>(*number);
    return Error{ErrorKind::kUsage, "expected a number from 1 to " + std::to_string(kMostWorkersOfNode)};
  }
  if (text == "cpu") return facts.usable_cores();
  if (text == "auto" || text == "gpu") {
    const Uuids uuids = facts.gpu_uuids();
    const int gpus = visible_gpus(uuids, facts.environment);
    if (gpus > 0) return gpus;
    if (text == "auto") return facts.usable_cores();
    return Error{ErrorKind::kUsage, "CUDA would see no device: " + why_no_gpu(uuids, facts.environment)};
  }
  if (text == "xpu") return Error{ErrorKind::kUsage, "Intel GPUs cannot be counted yet; give their number"};
  return Error{ErrorKind::kUsage, "expected a number, auto, cpu or gpu"};
}

}  // namespace ferrun
