#include "launcher/io/probe/cpu_topology.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>

#include "common/io/small_file.h"
#include "common/text.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

// More than any kernel is built for: a broken list must not take the memory.
constexpr int kMostCpuIndex = 1 << 16;

std::optional<int> number_in(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string word_of(const fs::path& file) { return std::string(strip(read_small_file(file).bytes)); }

std::vector<int> list_of(const fs::path& file) { return parse_cpu_list(read_small_file(file).bytes); }

std::optional<int> number_behind(std::string_view prefix, const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(prefix) ? number_in(std::string_view(name).substr(prefix.size())) : std::nullopt;
}

std::map<int, int> nodes_by_cpu(const fs::path& root) {
  std::map<int, int> nodes;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / "sys/devices/system/node", error)) {
    const std::optional<int> node = number_behind("node", entry.path());
    if (!node) continue;
    for (const int cpu : list_of(entry.path() / "cpulist")) nodes[cpu] = *node;
  }
  return nodes;
}

// Who shares the cache of the highest level that holds data.
std::vector<int> sharers_of_last_cache(const fs::path& cpu) {
  int highest = -1;
  fs::path folder;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(cpu / "cache", error)) {
    if (!number_behind("index", entry.path())) continue;
    const std::string type = word_of(entry.path() / "type");
    const std::optional<int> level = number_in(word_of(entry.path() / "level"));
    if ((type != "Unified" && type != "Data") || !level || *level <= highest) continue;
    highest = *level;
    folder = entry.path();
  }
  return folder.empty() ? std::vector<int>() : list_of(folder / "shared_cpu_list");
}

// Asks each group of CPUs once: all that share something have the same list of sharers.
class Groups {
 public:
  template <typename Ask>
  int of(int cpu, Ask ask) {
    if (const auto known = names_.find(cpu); known != names_.end()) return known->second;
    const std::vector<int> members = ask();
    const int name = members.empty() ? -1 : members.front();
    for (const int member : members) names_[member] = name;
    names_[cpu] = name;
    return name;
  }

 private:
  std::map<int, int> names_;  // by CPU; -1: not told
};

}  // namespace

std::vector<int> parse_cpu_list(const std::string& text) {
  std::vector<int> cpus;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    const std::string_view range = strip(part);
    const size_t dash = range.find('-');
    const std::optional<int> first = number_in(range.substr(0, dash));
    const std::optional<int> last = dash == std::string_view::npos ? first : number_in(range.substr(dash + 1));
    if (!first || !last || *first < 0 || *last > kMostCpuIndex) continue;
    for (int cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
  }
  std::ranges::sort(cpus);
  return cpus;
}

CpuTopology read_cpu_topology(const fs::path& root, const std::vector<int>& allowed) {
  const std::map<int, int> nodes = nodes_by_cpu(root);
  Groups cores, caches;
  std::map<int, int> first_of_node;
  CpuTopology topology;
  for (const int index : allowed) {
    const fs::path folder = root / "sys/devices/system/cpu" / ("cpu" + std::to_string(index));
    Cpu cpu;
    cpu.index = index;
    if (const auto node = nodes.find(index); node != nodes.end()) cpu.node = node->second;
    first_of_node.try_emplace(cpu.node, index);
    cpu.socket = number_in(word_of(folder / "topology/physical_package_id")).value_or(0);
    cpu.core = cores.of(index, [&] { return list_of(folder / "topology/thread_siblings_list"); });
    if (cpu.core < 0) cpu.core = index;
    cpu.cache = caches.of(index, [&] { return sharers_of_last_cache(folder); });
    if (cpu.cache < 0) cpu.cache = first_of_node[cpu.node];
    topology.push_back(cpu);
  }
  return topology;
}

}  // namespace ferrun
