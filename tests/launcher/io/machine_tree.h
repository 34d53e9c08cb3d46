// Machines as their kernels show them in /sys, /proc and /dev: sockets, NUMA nodes, cores, threads, caches and GPUs,
// with the numbers that the real ones have.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace ferrun::testing {

struct Machine {
  std::string name;
  int sockets = 1;
  int nodes_per_socket = 1;
  int cores_per_node = 1;
  int threads = 1;                 // of a core
  int cores_per_cache = 1;         // that share the L3
  bool siblings_adjacent = false;  // CPUs 0 and 1 are one core; else the second threads follow after all first ones
  struct Gpu {
    std::string pci_address;
    int numa_node = 0;
  };
  std::vector<Gpu> gpus = {};  // by PCI address
  int memory_only_nodes = 0;   // after the others

  int nodes() const { return sockets * nodes_per_socket; }
  int cores() const { return nodes() * cores_per_node; }
  int cpus() const { return cores() * threads; }
  int cpu(int core, int thread) const { return siblings_adjacent ? core * threads + thread : thread * cores() + core; }
};

inline std::vector<Machine> real_machines() {
  return {
      {"two EPYC 7742, four nodes each, eight A100",
       2,
       4,
       16,
       2,
       4,
       false,
       {{"0000:07:00.0", 3},
        {"0000:0f:00.0", 3},
        {"0000:47:00.0", 1},
        {"0000:4e:00.0", 1},
        {"0000:87:00.0", 7},
        {"0000:90:00.0", 7},
        {"0000:b7:00.0", 5},
        {"0000:bd:00.0", 5}}},
      {"two Xeon 8480C, eight H100",
       2,
       1,
       56,
       2,
       56,
       false,
       {{"0000:1b:00.0", 0},
        {"0000:43:00.0", 0},
        {"0000:52:00.0", 0},
        {"0000:61:00.0", 0},
        {"0000:9d:00.0", 1},
        {"0000:c3:00.0", 1},
        {"0000:d1:00.0", 1},
        {"0000:df:00.0", 1}}},
      {"two Xeon with sub-NUMA clusters, five GPUs",
       2,
       2,
       13,
       2,
       26,
       false,
       {{"0000:17:00.0", 0}, {"0000:31:00.0", 1}, {"0000:32:00.0", 1}, {"0000:65:00.0", 1}, {"0000:ca:00.0", 3}}},
      {"EPYC 9554P without SMT, four L40S",
       1,
       1,
       64,
       1,
       8,
       false,
       {{"0000:01:00.0", 0}, {"0000:41:00.0", 0}, {"0000:81:00.0", 0}, {"0000:c1:00.0", 0}}},
      {"desktop whose device has no node", 1, 1, 8, 2, 8, true, {{"0000:01:00.0", -1}}},
      {"Grace Hopper, whose device's memory is nodes without CPUs", 1, 1, 72, 1, 72, false, {{"0009:01:00.0", 0}}, 8},
  };
}

inline std::string list_text(const std::vector<int>& cpus) {
  std::string text;
  for (const int cpu : cpus) text += (text.empty() ? "" : ",") + std::to_string(cpu);
  return text + "\n";
}

// Writes the machine below `root`.
inline void write_machine(const Machine& machine, const std::filesystem::path& root) {
  const auto file = [&](const std::string& path, const std::string& content) {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path) << content;
  };
  const auto cpus_of_cores = [&](int first, int count) {
    std::vector<int> cpus;
    for (int thread = 0; thread < machine.threads; ++thread) {
      for (int core = first; core < first + count; ++core) cpus.push_back(machine.cpu(core, thread));
    }
    return cpus;
  };
  const std::string nodes = "sys/devices/system/node/";
  const int all_nodes = machine.nodes() + machine.memory_only_nodes;
  file(nodes + "has_memory", all_nodes == 1 ? "0\n" : "0-" + std::to_string(all_nodes - 1) + "\n");
  file(nodes + "possible", all_nodes == 1 ? "0\n" : "0-" + std::to_string(all_nodes - 1) + "\n");
  for (int node = 0; node < all_nodes; ++node) {
    const bool has_cpus = node < machine.nodes();
    file(nodes + "node" + std::to_string(node) + "/cpulist",
         has_cpus ? list_text(cpus_of_cores(node * machine.cores_per_node, machine.cores_per_node)) : "\n");
  }
  for (int core = 0; core < machine.cores(); ++core) {
    const int socket = core / (machine.cores_per_node * machine.nodes_per_socket);
    const std::string siblings = list_text(cpus_of_cores(core, 1));
    const std::string sharers =
        list_text(cpus_of_cores(core / machine.cores_per_cache * machine.cores_per_cache, machine.cores_per_cache));
    for (int thread = 0; thread < machine.threads; ++thread) {
      const std::string cpu = "sys/devices/system/cpu/cpu" + std::to_string(machine.cpu(core, thread)) + "/";
      file(cpu + "topology/physical_package_id", std::to_string(socket) + "\n");
      file(cpu + "topology/thread_siblings_list", siblings);
      file(cpu + "cache/uevent", "");
      const auto cache = [&](int index, const char* type, int level, const std::string& shared) {
        const std::string folder = cpu + "cache/index" + std::to_string(index) + "/";
        file(folder + "type", type);
        file(folder + "level", std::to_string(level) + "\n");
        file(folder + "shared_cpu_list", shared);
      };
      cache(0, "Data\n", 1, siblings);
      cache(1, "Instruction\n", 1, siblings);
      cache(2, "Unified\n", 2, siblings);
      cache(3, "Unified\n", 3, sharers);
    }
  }
  int minor = static_cast<int>(machine.gpus.size());
  for (const Machine::Gpu& gpu : machine.gpus) {
    file("sys/bus/pci/devices/" + gpu.pci_address + "/numa_node", std::to_string(gpu.numa_node) + "\n");
    --minor;  // minors in another order than addresses, as on many a board
    file("proc/driver/nvidia/gpus/" + gpu.pci_address + "/information", "Model: \t\t NVIDIA\nGPU UUID: \t GPU-" +
                                                                            gpu.pci_address + "\nDevice Minor: \t " +
                                                                            std::to_string(minor) + "\n");
    file("dev/nvidia" + std::to_string(minor), "");
  }
}

}  // namespace ferrun::testing
