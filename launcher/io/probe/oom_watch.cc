#include "launcher/io/probe/oom_watch.h"

#include <sstream>
#include <string_view>
#include <utility>

#include "common/io/small_file.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

// The number behind `key` in a file of lines "key number".
std::optional<uint64_t> counter(const fs::path& file, std::string_view key) {
  std::istringstream in(read_small_file(file).bytes);
  std::string name;
  uint64_t value = 0;
  while (in >> name >> value) {
    if (name == key) return value;
  }
  return std::nullopt;
}

bool lists(const std::string& names, std::string_view wanted) {
  std::istringstream in(names);
  for (std::string name; std::getline(in, name, ',');) {
    if (name == wanted) return true;
  }
  return false;
}

// This process's path in the hierarchy of the memory controller ("4:memory:/job" in /proc/self/cgroup), or in the
// unified one ("0::/job").
std::optional<std::string> path_in_hierarchy(const std::string& groups, bool unified) {
  std::istringstream in(groups);
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (unified ? line.starts_with("0::") : lists(controllers, "memory")) return line.substr(second + 1);
  }
  return std::nullopt;
}

// Where a group's folder is under a mount that shows the hierarchy from `root` down. A container that sees its own
// group alone has that as the root.
std::optional<fs::path> below_mount(const std::string& group, const std::string& root, const std::string& mount) {
  if (root == "/") return fs::path(mount) / fs::path(group).relative_path();
  if (group == root) return mount;
  if (group.starts_with(root + "/")) return fs::path(mount) / group.substr(root.size() + 1);
  return std::nullopt;
}

// From /proc/self/mountinfo: "36 31 0:32 ROOT MOUNT rw,relatime - cgroup cgroup rw,memory".
std::optional<fs::path> group_folder(const std::string& groups, const std::string& mounts, bool unified) {
  const std::optional<std::string> group = path_in_hierarchy(groups, unified);
  std::istringstream in(mounts);
  for (std::string line; group && std::getline(in, line);) {
    const size_t separator = line.find(" - cgroup");
    if (separator == std::string::npos) continue;
    std::istringstream before(line.substr(0, separator)), behind(line.substr(separator + 3));
    std::string skipped, root, mount, type, options;
    before >> skipped >> skipped >> skipped >> root >> mount;
    behind >> type >> skipped >> options;
    if (unified ? type != "cgroup2" : type != "cgroup" || !lists(options, "memory")) continue;
    if (const std::optional<fs::path> folder = below_mount(*group, root, mount)) return folder;
  }
  return std::nullopt;
}

// " (limit 512 MiB)"; empty without a limit. The first version writes a number near 2^63 for none.
std::string limit_text(const fs::path& file) {
  constexpr uint64_t kNoLimit = uint64_t{1} << 60;
  std::istringstream in(read_small_file(file).bytes);
  uint64_t bytes = 0;
  if (!(in >> bytes) || bytes >= kNoLimit) return "";
  return " (limit " + std::to_string(bytes >> 20) + " MiB)";
}

std::string times(uint64_t count) { return count == 1 ? "once" : std::to_string(count) + " times"; }

}  // namespace

OomWatch::Group OomWatch::own_group(const fs::path& proc) {
  const std::string groups = read_small_file(proc / "self/cgroup").bytes,
                    mounts = read_small_file(proc / "self/mountinfo").bytes;
  if (const auto folder = group_folder(groups, mounts, true);
      folder && counter(*folder / "memory.events", "oom_kill")) {
    return {*folder / "memory.events", *folder / "memory.max"};
  }
  if (const auto folder = group_folder(groups, mounts, false);
      folder && counter(*folder / "memory.oom_control", "oom_kill")) {
    return {*folder / "memory.oom_control", *folder / "memory.limit_in_bytes"};
  }
  return {};
}

OomWatch::OomWatch(fs::path proc) : proc_(std::move(proc)), group_(own_group(proc_)) { restart(); }

std::optional<uint64_t> OomWatch::in_group() const {
  return group_.counters.empty() ? std::nullopt : counter(group_.counters, "oom_kill");
}

void OomWatch::restart() {
  in_group_ = in_group().value_or(0);
  if (group_.counters.empty()) on_machine_ = counter(proc_ / "vmstat", "oom_kill").value_or(0);
}

std::string OomWatch::evidence() const {
  if (const std::optional<uint64_t> now = in_group()) {
    if (*now <= in_group_) return "";
    return "the kernel's out-of-memory killer struck " + times(*now - in_group_) + " in this control group" +
           limit_text(group_.limit);
  }
  const uint64_t now = counter(proc_ / "vmstat", "oom_kill").value_or(0);
  if (now <= on_machine_) return "";
  return "the kernel's out-of-memory killer struck " + times(now - on_machine_) +
         " on this machine meanwhile, perhaps another program";
}

}  // namespace ferrun
