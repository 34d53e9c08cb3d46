#include "launcher/config/worker_count.h"

#include <optional>
#include <vector>

#include "launcher/config/values.h"
#include "rendezvous/job/limits.h"

namespace ferrun {
namespace {

using Devices = std::optional<std::vector<GpuDevice>>;
using Accelerator = DeviceNodes::Kind;

int cuda_devices(const Devices& devices, const Environment& environment, MigInstances instances) {
  return devices ? static_cast<int>(visible_to_cuda(*devices, environment, instances).size()) : 0;
}

int hip_devices(const Devices& devices, const Environment& environment) {
  return devices ? static_cast<int>(visible_to_hip(*devices, environment).size()) : 0;
}

std::string why_no_cuda(const Devices& devices, const Environment& environment) {
  // CUDA does not read this one: the container's runtime did, before it made the devices' nodes.
  const std::optional<std::string> given = environment.get("NVIDIA_VISIBLE_DEVICES");
  const std::string container = given ? " (the container was started with NVIDIA_VISIBLE_DEVICES=" + *given + ")" : "";
  if (!devices) return "no NVIDIA driver is loaded on this machine" + container;
  if (devices->empty()) return "the NVIDIA driver offers no device" + container;
  return "CUDA_VISIBLE_DEVICES=" + environment.get_or("CUDA_VISIBLE_DEVICES", "") + " leaves none of the " +
         std::to_string(devices->size()) + " devices";
}

std::string why_no_hip(const Devices& devices, const Environment& environment) {
  if (devices->empty()) return "AMD's driver (/dev/kfd) offers no device that this process may use";
  std::string variables;
  for (const char* name : {"ROCR_VISIBLE_DEVICES", kHipVariables[0], kHipVariables[1]}) {
    if (const std::optional<std::string> value = environment.get(name))
      variables += std::string(name) + "=" + *value + " ";
  }
  return variables + "leaves none of the " + std::to_string(devices->size()) + " AMD GPUs";
}

std::string name_of(const DeviceNodes& nodes) {
  const auto name = [kind = nodes.kind]() -> std::string {
    switch (kind) {
      case Accelerator::kIntelGpu: return "Intel GPU";
      case Accelerator::kIntelGraphics: return "Intel graphics of the processor";
      case Accelerator::kLaptopNpu: return "NPU of the processor";
      case Accelerator::kHabana: return "Habana accelerator";
      case Accelerator::kAscend: return "Ascend NPU";
      case Accelerator::kWsl: return "GPU of WSL2";
      case Accelerator::kOther: return "accelerator";
    }
    return "device";
  };
  return (nodes.count > 1 ? std::to_string(nodes.count) + " times " : "") + name() + " (" + nodes.path + ")";
}

bool part_of_the_processor(const DeviceNodes& nodes) {
  return nodes.kind == Accelerator::kIntelGraphics || nodes.kind == Accelerator::kLaptopNpu;
}

class DeviceCounter {
 public:
  DeviceCounter(const HostFacts& facts, MigInstances instances)
      : facts_(facts), instances_(instances), nvidia_(facts.nvidia_gpus()) {}

  // What CUDA or HIP would see: no machine has both.
  std::optional<WorkerCount> gpus() {
    if (const int devices = cuda_devices(nvidia_, facts_.environment, instances_); devices > 0) {
      return WorkerCount{devices, {}, {}};
    }
    amd_ = facts_.amd_gpus();
    const int devices = hip_devices(amd_, facts_.environment);
    if (devices == 0) return std::nullopt;
    return WorkerCount{devices, {}, {"one worker for each AMD GPU"}};
  }

  // Without any: a core for each worker, and a word about devices that a user may have meant.
  WorkerCount cores() const {
    WorkerCount count{facts_.usable_cores(), {}, {}};
    std::string seen, small;
    const auto add = [](std::string& list, const std::string& name) { list += (list.empty() ? "" : ", ") + name; };
    if (nvidia_ && nvidia_->empty()) add(seen, "NVIDIA GPU that this process may not use");
    if (amd_ && amd_->empty()) add(seen, "AMD GPU (/dev/kfd)");
    for (const DeviceNodes& nodes : facts_.other_accelerators()) {
      add(part_of_the_processor(nodes) ? small : seen, name_of(nodes));
    }
    if (!seen.empty()) {
      count.warnings.push_back("there are devices that ferrun cannot count: " + seen +
                               "; with one worker for each core" + " that is " + std::to_string(count.workers) +
                               ", for another number give it");
    }
    if (!small.empty()) count.notes.push_back("passed over: " + small);
    return count;
  }

  std::string why_none() const {
    std::string why = "CUDA would see no device: " + why_no_cuda(nvidia_, facts_.environment);
    if (amd_) why += "; HIP neither: " + why_no_hip(amd_, facts_.environment);
    const std::vector<DeviceNodes> others = facts_.other_accelerators();
    for (const DeviceNodes& nodes : others) why += "; there is: " + name_of(nodes);
    if (amd_ || !others.empty()) why += "; give the number of workers";
    return why;
  }

 private:
  const HostFacts& facts_;
  MigInstances instances_;
  Devices nvidia_;
  Devices amd_;
};

std::string why_no_xpu(const HostFacts& facts) {
  std::string why = "Intel GPUs are not counted: give their number";
  for (const DeviceNodes& nodes : facts.other_accelerators()) {
    if (nodes.kind == Accelerator::kIntelGpu || nodes.kind == Accelerator::kIntelGraphics)
      why += "; there is: " + name_of(nodes);
  }
  return why;
}

}  // namespace

Result<WorkerCount> worker_count(const std::string& text, const HostFacts& facts, MigInstances instances) {
  if (const std::optional<long> number = parse_integer(text)) {
    if (*number >= 1 && *number <= kMostWorkersOfNode) return WorkerCount{static_cast<int>(*number), {}, {}};
    return usage_error("expected a number from 1 to " + std::to_string(kMostWorkersOfNode));
  }
  if (text == "cpu") return WorkerCount{facts.usable_cores(), {}, {}};
  if (text == "xpu") return usage_error(why_no_xpu(facts));
  if (text != "auto" && text != "gpu") return usage_error("expected a number, auto, cpu or gpu");
  DeviceCounter counter(facts, instances);
  if (std::optional<WorkerCount> gpus = counter.gpus()) return *gpus;
  if (text == "auto") return counter.cores();
  return usage_error(counter.why_none());
}

}  // namespace ferrun
