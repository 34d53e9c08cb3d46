// Every worker on real machines, under several affinities, gets the CPUs that torch.numa.binding would give it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "launcher/config/cpu_binding.h"
#include "launcher/io/probe/cpu_topology.h"
#include "launcher/io/probe/device_probe.h"
#include "tests/launcher/io/machine_tree.h"
#include "tests/peer_python.h"
#include "tests/temporary_directory.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

// All CPUs; the first threads alone; every third CPU; a random half.
std::vector<std::vector<int>> affinities(const testing::Machine& machine) {
  std::mt19937 random(7);
  std::vector<std::vector<int>> sets(4);
  for (int cpu = 0; cpu < machine.cpus(); ++cpu) {
    sets[0].push_back(cpu);
    if (cpu < machine.cores()) sets[1].push_back(cpu);
    if (cpu % 3 == 1) sets[2].push_back(cpu);
    if (random() % 2 == 0) sets[3].push_back(cpu);
  }
  return sets;
}

// Returns how many devices were compared. `expected`: by mode, then by device.
int compare(const fs::path& root, const std::vector<int>& allowed, const nlohmann::json& expected) {
  HostFacts facts;
  facts.cpus = [&] { return read_cpu_topology(root, allowed); };
  facts.node_memory = [] { return NodeMemory(); };
  facts.nvidia_gpus = [&] { return nvidia_gpus(root); };
  facts.amd_gpus = [] { return std::nullopt; };
  int compared = 0;
  for (const auto& [mode, devices] : expected.items()) {
    const Result<CpuBinding> bound =
        bind_workers(numa_binding_of(mode).value(), facts, MigInstances::kFirst, static_cast<int>(devices.size()));
    for (size_t device = 0; device < devices.size(); ++device) {
      SCOPED_TRACE(mode + ", device " + std::to_string(device));
      if (devices[device].is_string()) {
        // torch looks for a CPU on every node, also on those that have memory alone.
        EXPECT_TRUE(mode == "socket" || !bound) << devices[device];
        continue;
      }
      if (!bound) {
        ADD_FAILURE() << bound.error().message;
        continue;
      }
      EXPECT_EQ(nlohmann::json(bound->workers[device].cpus), devices[device]);
      ++compared;
    }
  }
  return compared;
}

TEST(NumaParity, WorkersGetTheCpusThatTorchGivesThem) {
  FERRUN_NEEDS_PEER();
  const testing::TemporaryDirectory folder;
  const std::vector<testing::Machine> machines = testing::real_machines();
  for (size_t at = 0; at < machines.size(); ++at) {
    const fs::path root = folder.path() / std::to_string(at);
    testing::write_machine(machines[at], root);
    std::ofstream file(root / "allowed");
    for (const std::vector<int>& allowed : affinities(machines[at])) file << testing::list_text(allowed);
  }
  const std::string command = "'" + peer_python() +
                              "' -W ignore '" FERRUN_SOURCE_DIR "/tests/launcher/numa_parity_peer.py' '" +
                              folder.path().string() + "'";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  std::ifstream file(folder.path() / "results.json");
  const nlohmann::json results = nlohmann::json::parse(file);
  int compared = 0;
  for (size_t at = 0; at < machines.size(); ++at) {
    const fs::path root = folder.path() / std::to_string(at);
    const std::vector<std::vector<int>> allowed = affinities(machines[at]);
    for (size_t set = 0; set < allowed.size(); ++set) {
      SCOPED_TRACE(machines[at].name + ", affinity " + std::to_string(set));
      compared += compare(root, allowed[set], results.at(std::to_string(at)).at(set));
    }
  }
  EXPECT_GT(compared, 300);
}

}  // namespace
}  // namespace ferrun
