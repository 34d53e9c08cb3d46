#include "launcher/doctor/judgement.h"

#include <algorithm>

#include "common/duration_text.h"

namespace ferrun {
namespace {

using enum Finding::Status;

constexpr Duration kSlowLookUp = std::chrono::seconds(1);
constexpr Duration kClocksApart = std::chrono::seconds(1);
constexpr int kFewPorts = 1000;
constexpr uint64_t kLittleSharedMemory = uint64_t{1} << 30;

std::string time_text(Duration duration) { return measured_text(duration, 1); }

std::string comma_list(const std::vector<std::string>& items) {
  std::string list;
  for (const std::string& item : items) list += (list.empty() ? "" : ", ") + item;
  return list;
}

std::string range_text(const PortRange& range) {
  return std::to_string(range.first) + "-" + std::to_string(range.last);
}

// What the driver says of the devices.
void add_devices(const GpuFacts& facts, const std::string& driver, std::vector<Finding>& findings) {
  for (const GpuHealth& gpu : facts.visible) {
    const bool broken = gpu.lost || gpu.reset_required || gpu.row_remap_failed;
    for (const std::string& line : gpu_lines(std::nullopt, gpu, {})) {
      findings.push_back({broken ? kFail : kWarn, "gpus", line});
    }
  }
  const size_t count = facts.visible.size();
  const std::string seen = std::to_string(count) + (count == 1 ? " device" : " devices") + ", " + driver;
  if (findings.empty()) findings.push_back({kOk, "gpus", seen});
  if (count < 2) return;
  if (!facts.strangers.empty()) {
    findings.push_back({kWarn, "peers",
                        std::to_string(facts.strangers.size()) + " of " + std::to_string(facts.pairs) +
                            " pairs of devices cannot read each other's memory, as " + facts.strangers.front() +
                            ": NCCL copies through the host (ACS, IOMMU or the topology: nvidia-smi topo -p2p r)"});
  } else if (facts.pairs > 0) {
    findings.push_back({kOk, "peers", "all devices can read each other's memory"});
  }
  const auto [least, most] = std::ranges::minmax_element(facts.links);
  if (facts.links.empty() || *most == 0) {
    findings.push_back({kOk, "nvlink", "none: the devices are connected by PCI Express"});
  } else if (*least == *most) {
    findings.push_back({kOk, "nvlink", std::to_string(*most) + " active links of each device"});
  } else {
    const auto weak = static_cast<size_t>(least - facts.links.begin());
    findings.push_back({kWarn, "nvlink",
                        facts.visible[weak].pci_address + " has " + std::to_string(*least) +
                            " active links, another device " + std::to_string(*most) + ": nvidia-smi nvlink --status"});
  }
}

}  // namespace

Finding judge_name(const NameFacts& facts) {
  if (facts.addresses.empty()) {
    return {kFail, "name", facts.host + ": " + facts.error + "; agents would look it up again until they give up"};
  }
  const std::string text = facts.host + " is " + comma_list(facts.addresses);
  if (facts.took < kSlowLookUp) return {kOk, "name", text};
  return {kWarn, "name", text + ", but the look-up took " + time_text(facts.took)};
}

Finding judge_route(const RouteFacts& facts) {
  if (facts.here) return {kOk, "route", facts.address + " is this machine's, on " + facts.interface};
  if (facts.local.empty()) return {kFail, "route", "there is no way to " + facts.address + ": " + facts.error};
  return {
      kOk, "route",
      "to " + facts.address + " from " + facts.local + (facts.interface.empty() ? "" : " through " + facts.interface)};
}

Finding judge_coordinator(const CoordinatorFacts& facts) {
  const std::string port = std::to_string(facts.endpoint.port);
  if (!facts.where.empty()) return {kOk, "agents", "the coordinator answers at " + facts.where};
  if (facts.refused_by_name) return {kFail, "agents", facts.tried};
  if (facts.hosts && facts.port_free) {
    return {kOk, "agents", "this machine coordinates the job, and port " + port + " is free: " + facts.election};
  }
  if (facts.hosts) {
    return {kFail, "agents",
            "this machine is to coordinate the job, but " + facts.port_problem + "; " + facts.tried +
                "; choose another port in --rdzv-endpoint"};
  }
  if (facts.tried.empty()) return {kWarn, "agents", "no coordinator was sought, for want of an address"};
  return {kWarn, "agents",
          "no coordinator answers: " + facts.tried + "; start the agent of that node, or open TCP port " + port +
              " to it (" + facts.election + ")"};
}

Finding judge_store(const StoreFacts& facts) {
  if (facts.shared) return {kOk, "store", "shares port " + std::to_string(facts.port) + " with the agents"};
  if (facts.port != 0) {
    const std::string port = "--master-port=" + std::to_string(facts.port);
    if (facts.problem.empty()) return {kOk, "store", port + " is free, should rank 0 be here"};
    return {kFail, "store", port + " cannot be had, should rank 0 be here: " + facts.problem};
  }
  if (!facts.range.given()) return {kOk, "store", "a free port is chosen for every round (--port-range narrows it)"};
  const std::string range = "--port-range=" + range_text(facts.range);
  if (facts.free_in_range == 0) return {kFail, "store", "no port of " + range + " is free"};
  return {kOk, "store", std::to_string(facts.free_in_range) + " ports of " + range + " are free"};
}

Finding judge_worker_ports(const std::optional<PortRange>& range) {
  if (!range) return {kWarn, "ports", "the kernel does not tell from which ports Gloo and NCCL will choose"};
  const std::string text = "Gloo and NCCL connect workers through TCP ports " + range_text(*range) +
                           " (net.ipv4.ip_local_port_range): let them through between the nodes";
  return {range->last - range->first + 1 < kFewPorts ? kWarn : kOk, "ports", text};
}

Finding judge_clock(const ClockFacts& facts) {
  if (facts.ahead) {
    const bool late = *facts.ahead < Duration::zero();
    const Duration apart = late ? -*facts.ahead : *facts.ahead;
    const std::string text = "this clock is " + time_text(apart) + (late ? " behind" : " ahead of") +
                             " the coordinator's, give or take " + time_text(facts.uncertainty);
    if (apart <= kClocksApart + facts.uncertainty) return {kOk, "clock", text};
    return {kWarn, "clock", text + "; ferrun compares no clocks, but log lines will not fit together"};
  }
  if (!facts.synchronised) return {kOk, "clock", "there is no coordinator to compare with"};
  if (*facts.synchronised) return {kOk, "clock", "no coordinator to compare with; the kernel calls it synchronised"};
  return {kWarn, "clock", "no coordinator to compare with; the kernel calls it not synchronised (chrony, ntpd)"};
}

Finding judge_files(const FileLimitFacts& facts) {
  const std::string need = std::to_string(facts.workers) + (facts.workers == 1 ? " worker needs" : " workers need") +
                           " about " + std::to_string(facts.needed) + " open files";
  const std::string limits = "; the limit is " + std::to_string(facts.hard);
  if (facts.hard < facts.needed) return {kFail, "files", need + limits + ": raise it (ulimit -Hn, LimitNOFILE=)"};
  if (facts.soft >= facts.needed) return {kOk, "files", need + limits};
  return {kOk, "files", need + limits + ", towards which ferrun raises " + std::to_string(facts.soft)};
}

Finding judge_shared_memory(const std::optional<uint64_t>& bytes) {
  if (!bytes) return {kWarn, "memory", "there is no /dev/shm: data loaders and NCCL want it"};
  const std::string text = "/dev/shm has " + std::to_string(*bytes >> 20) + " MiB";
  if (*bytes >= kLittleSharedMemory) return {kOk, "memory", text};
  return {kWarn, "memory", text + ": little for data loaders and NCCL (in a container: --shm-size, --ipc=host)"};
}

std::vector<Finding> judge_gpus(const GpuFacts& facts) {
  if (!facts.driver) return {};
  const std::string driver = "NVIDIA's driver" + (facts.version.empty() ? "" : " " + facts.version);
  if (facts.offered == 0) return {{kWarn, "gpus", driver + " is there, and offers no device to this process"}};
  if (facts.visible.empty()) {
    return {{kWarn, "gpus", "CUDA_VISIBLE_DEVICES hides all of the " + std::to_string(facts.offered) + " devices"}};
  }
  std::vector<Finding> findings;
  if (facts.answered) {
    add_devices(facts, driver, findings);
  } else {
    findings.push_back({kWarn, "gpus", driver + ": " + facts.problem});
  }
  if (facts.worker && facts.plug_in.empty()) {
    findings.push_back({kWarn, "plug-in",
                        "worker has none for CUDA and computes on the CPU: worker --version says why, scripts/setup "
                        "--with-cuda brings what it is built with"});
  } else if (facts.worker) {
    findings.push_back({kOk, "plug-in", "worker computes on GPUs by " + facts.plug_in});
  }
  return findings;
}

Finding judge_token(const TokenFacts& facts) {
  if (!facts.error.empty()) return {kFail, "token", facts.error};
  if (facts.given && facts.others_may_read) {
    return {kWarn, "token", facts.origin + ": others on this machine may read it: chmod 600"};
  }
  if (facts.by_munge) return {kOk, "token", "handed out by munge: only processes of this user take part"};
  if (facts.given) return {kOk, "token", "agents know each other by the secret of " + facts.origin};
  if (facts.loopback) return {kOk, "token", "none, and only this machine reaches the endpoint"};
  return {kWarn, "token", "none: whoever reaches the endpoint can take part (--token-file, FERRUN_TOKEN)"};
}

}  // namespace ferrun
