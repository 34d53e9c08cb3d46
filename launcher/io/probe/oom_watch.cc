#include "launcher/io/probe/oom_watch.h"

#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>

namespace ferrun {
namespace {

namespace fs = std::filesystem;

// The number behind `key` in a file of lines "key number"; 0 where there is none.
uint64_t counter(const fs::path& file, std::string_view key) {
  std::ifstream in(file);
  std::string name;
  uint64_t value = 0;
  while (in >> name >> value) {
    if (name == key) return value;
  }
  return 0;
}

// "0::/system.slice/job.scope" in /proc/self/cgroup names the group in the unified hierarchy.
fs::path own_group(const fs::path& proc, const fs::path& cgroups) {
  std::ifstream in(proc / "self/cgroup");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("0::/")) return cgroups / line.substr(4);
  }
  return {};
}

// " (limit 512 MiB)"; empty without a limit.
std::string limit_text(const fs::path& group) {
  std::ifstream in(group / "memory.max");
  uint64_t bytes = 0;
  if (!(in >> bytes)) return "";
  return " (limit " + std::to_string(bytes >> 20) + " MiB)";
}

std::string times(uint64_t count) { return count == 1 ? "once" : std::to_string(count) + " times"; }

}  // namespace

OomWatch::OomWatch(fs::path proc, fs::path cgroups) : proc_(std::move(proc)), group_(own_group(proc_, cgroups)) {
  restart();
}

void OomWatch::restart() {
  in_group_ = group_.empty() ? 0 : counter(group_ / "memory.events", "oom_kill");
  on_machine_ = counter(proc_ / "vmstat", "oom_kill");
}

std::string OomWatch::evidence() const {
  const uint64_t in_group = group_.empty() ? 0 : counter(group_ / "memory.events", "oom_kill");
  if (in_group > in_group_) {
    return "the kernel's out-of-memory killer struck " + times(in_group - in_group_) + " in this control group" +
           limit_text(group_);
  }
  const uint64_t on_machine = counter(proc_ / "vmstat", "oom_kill");
  if (on_machine <= on_machine_) return "";
  return "the kernel's out-of-memory killer struck " + times(on_machine - on_machine_) + " on this machine";
}

}  // namespace ferrun
