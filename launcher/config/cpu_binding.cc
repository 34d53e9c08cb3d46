#include "launcher/config/cpu_binding.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace ferrun {
namespace {

constexpr int kMostCpus = 1024;  // of an affinity mask as workers get it

// What a worker is bound next to: a device, or a place on a machine without any.
struct Seat {
  int node = 0;
  std::string name;  // "device 3 (0000:dc:00.0)"; empty: no device
};

std::set<int> nodes_of(const CpuTopology& cpus) {
  std::set<int> nodes;
  for (const Cpu& cpu : cpus) nodes.insert(cpu.node);
  return nodes;
}

template <typename Belongs>
CpuTopology those_of(const CpuTopology& cpus, Belongs belongs) {
  CpuTopology chosen;
  std::ranges::copy_if(cpus, std::back_inserter(chosen), belongs);
  return chosen;
}

std::map<int, CpuTopology> grouped_by(const CpuTopology& cpus, int Cpu::*key) {
  std::map<int, CpuTopology> groups;
  for (const Cpu& cpu : cpus) groups[cpu.*key].push_back(cpu);
  return groups;
}

class Binder {
 public:
  Binder(NumaBinding binding, const CpuTopology& cpus, std::vector<Seat> seats)
      : binding_(binding), cpus_(cpus), seats_(std::move(seats)) {}

  Result<WorkerCpus> bind(size_t worker) const {
    const Seat& seat = seats_[worker];
    const CpuTopology node = those_of(cpus_, [&](const Cpu& cpu) { return cpu.node == seat.node; });
    if (node.empty()) {
      return usage_error("this process may use no CPU of " + place(seat) + ": it is confined to CPUs " + all_text());
    }
    Result<CpuTopology> chosen = choose(worker, node);
    if (!chosen) return chosen.error();
    WorkerCpus bound;
    for (const Cpu& cpu : *chosen) bound.cpus.push_back(cpu.index);
    std::ranges::sort(bound.cpus);
    bound.place = place(seat);
    if (bound.cpus.back() >= kMostCpus) {
      return usage_error("CPU " + std::to_string(bound.cpus.back()) + " is beyond the " + std::to_string(kMostCpus) +
                         " that ferrun binds to");
    }
    return bound;
  }

 private:
  static std::string place(const Seat& seat) {
    return "NUMA node " + std::to_string(seat.node) + (seat.name.empty() ? "" : ", where " + seat.name + " is");
  }

  std::string all_text() const {
    std::vector<int> indices;
    for (const Cpu& cpu : cpus_) indices.push_back(cpu.index);
    return cpu_list_text(indices);
  }

  // `node` are the CPUs of the worker's node.
  Result<CpuTopology> choose(size_t worker, const CpuTopology& node) const {
    switch (binding_) {
      case NumaBinding::kNode: return node;
      case NumaBinding::kSocket: return socket_of(node);
      case NumaBinding::kExclusive: return share_of(worker, node);
      case NumaBinding::kCoreComplex: return complex_of(worker, node);
    }
    return node;
  }

  // A node belongs to the socket of its lowest CPU.
  CpuTopology socket_of(const CpuTopology& node) const {
    std::map<int, int> sockets;
    for (const Cpu& cpu : cpus_) sockets.try_emplace(cpu.node, cpu.socket);
    return those_of(cpus_, [&](const Cpu& cpu) { return sockets[cpu.node] == node.front().socket; });
  }

  // How many seats of this one's node stand before it, and how many there are.
  std::pair<size_t, size_t> turn_of(size_t worker) const {
    const auto same = [&](const Seat& seat) { return seat.node == seats_[worker].node; };
    const auto before = std::count_if(seats_.begin(), seats_.begin() + static_cast<std::ptrdiff_t>(worker), same);
    return {static_cast<size_t>(before), static_cast<size_t>(std::ranges::count_if(seats_, same))};
  }

  Result<CpuTopology> share_of(size_t worker, const CpuTopology& node) const {
    const std::map<int, CpuTopology> cores = grouped_by(node, &Cpu::core);
    const auto [turn, seats] = turn_of(worker);
    const size_t each = cores.size() / seats;
    const size_t left_over = cores.size() % seats;
    if (each == 0) {
      return usage_error("of NUMA node " + std::to_string(seats_[worker].node) + " this process may use " +
                         std::to_string(cores.size()) + (cores.size() == 1 ? " physical core" : " physical cores") +
                         ", too few for its " + std::to_string(seats) +
                         (seats_[worker].name.empty() ? " workers" : " devices"));
    }
    const size_t first = turn * each + std::min(turn, left_over);
    const size_t count = each + (turn < left_over ? 1 : 0);
    CpuTopology share;
    auto core = std::next(cores.begin(), static_cast<std::ptrdiff_t>(first));
    for (size_t taken = 0; taken < count; ++taken, ++core) std::ranges::copy(core->second, std::back_inserter(share));
    return share;
  }

  CpuTopology complex_of(size_t worker, const CpuTopology& node) const {
    std::vector<CpuTopology> complexes;
    for (auto& [cache, members] : grouped_by(node, &Cpu::cache)) complexes.push_back(members);
    std::ranges::stable_sort(complexes, [](const auto& a, const auto& b) { return a.size() > b.size(); });
    return complexes[turn_of(worker).first % complexes.size()];
  }

  NumaBinding binding_;
  const CpuTopology& cpus_;
  std::vector<Seat> seats_;
};

Result<CpuBinding> bind_all(NumaBinding binding, const CpuTopology& cpus, std::vector<Seat> seats, int workers) {
  const Binder binder(binding, cpus, std::move(seats));
  CpuBinding bound;
  for (int worker = 0; worker < workers; ++worker) {
    Result<WorkerCpus> chosen = binder.bind(static_cast<size_t>(worker));
    if (!chosen) return chosen.error();
    bound.workers.push_back(std::move(*chosen));
  }
  return bound;
}

Result<CpuBinding> bind_to_gpus(NumaBinding binding, const CpuTopology& cpus, const std::vector<GpuDevice>& gpus,
                                int workers) {
  if (static_cast<size_t>(workers) > gpus.size()) {
    return usage_error(std::to_string(workers) + " workers, and " + std::to_string(gpus.size()) +
                       (gpus.size() == 1 ? " visible device" : " visible devices") +
                       ": each worker is bound next to a device of its own");
  }
  const bool several_nodes = nodes_of(cpus).size() > 1;
  std::vector<Seat> seats;
  std::vector<std::string> warnings;
  for (size_t index = 0; index < gpus.size(); ++index) {
    const GpuDevice& gpu = gpus[index];
    Seat seat{std::max(gpu.numa_node.value_or(0), 0), "device " + std::to_string(index)};
    if (!gpu.pci_address.empty()) seat.name += " (" + gpu.pci_address + ")";
    if (!gpu.numa_node && several_nodes) {
      return usage_error("it cannot be found out at which NUMA node " + seat.name + " is (" +
                         (gpu.pci_address.empty() ? "/proc/driver/nvidia does not tell its PCI address"
                                                  : "/sys/bus/pci/devices does not have it") +
                         ")");
    }
    if (gpu.numa_node.value_or(0) < 0 && several_nodes) {
      warnings.push_back("the kernel does not know at which NUMA node " + seat.name +
                         " is, and node 0 is taken, as torchrun does");
    }
    seats.push_back(std::move(seat));
  }
  Result<CpuBinding> bound = bind_all(binding, cpus, std::move(seats), workers);
  if (bound) bound->warnings = std::move(warnings);
  return bound;
}

void place_memory(CpuBinding& binding, const CpuTopology& cpus, const NodeMemory& memory) {
  if (memory.has_policy) return;
  if (!memory.refusal.empty()) {
    if (memory.nodes.size() > 1) {
      binding.warnings.push_back("the memory of workers is not bound, their CPUs are: the kernel refuses it (" +
                                 memory.refusal + "), as containers do without CAP_SYS_NICE");
    }
    return;
  }
  for (WorkerCpus& worker : binding.workers) {
    const std::set<int> nodes =
        nodes_of(those_of(cpus, [&](const Cpu& cpu) { return std::ranges::binary_search(worker.cpus, cpu.index); }));
    if (nodes.size() == 1 && std::ranges::binary_search(memory.nodes, *nodes.begin())) {
      worker.memory_node = *nodes.begin();
    }
  }
}

Result<CpuBinding> spread_over_cores(NumaBinding binding, const CpuTopology& cpus, int workers) {
  std::set<std::pair<int, int>> cores;  // node and core
  for (const Cpu& cpu : cpus) cores.emplace(cpu.node, cpu.core);
  const std::vector<std::pair<int, int>> in_order(cores.begin(), cores.end());
  std::vector<Seat> seats;
  for (int worker = 0; worker < workers; ++worker) {  // at the middle of its share
    const size_t at = (2 * static_cast<size_t>(worker) + 1) * in_order.size() / (2 * static_cast<size_t>(workers));
    seats.push_back({in_order[at].first, ""});
  }
  return bind_all(binding, cpus, std::move(seats), workers);
}

}  // namespace

std::optional<NumaBinding> numa_binding_of(std::string_view name) {
  if (name == "node") return NumaBinding::kNode;
  if (name == "socket") return NumaBinding::kSocket;
  if (name == "exclusive") return NumaBinding::kExclusive;
  if (name == "core-complex") return NumaBinding::kCoreComplex;
  return std::nullopt;
}

Result<CpuBinding> bind_workers(NumaBinding binding, const HostFacts& facts, MigInstances instances, int workers) {
  const CpuTopology cpus = facts.cpus();
  const std::vector<GpuDevice> gpus = visible_gpus(facts, instances).devices;
  Result<CpuBinding> bound =
      gpus.empty() ? spread_over_cores(binding, cpus, workers) : bind_to_gpus(binding, cpus, gpus, workers);
  if (bound) place_memory(*bound, cpus, facts.node_memory());
  if (bound && numbered_by_speed(gpus, facts.environment)) {
    bound->warnings.push_back(
        "CUDA numbers devices of several models by their speed, ferrun by their PCI addresses; "
        "CUDA_DEVICE_ORDER=PCI_BUS_ID makes them agree");
  }
  return bound;
}

std::string cpu_list_text(const std::vector<int>& cpus) {
  std::string text;
  for (size_t at = 0; at < cpus.size();) {
    size_t last = at;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    text += (text.empty() ? "" : ",") + std::to_string(cpus[at]);
    if (last > at) text += "-" + std::to_string(cpus[last]);
    at = last + 1;
  }
  return text;
}

}  // namespace ferrun
