#include "launcher/io/probe/usable_cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "common/io/small_file.h"

namespace ferrun {
namespace {

namespace fs = std::filesystem;

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

// cpu.max holds "max 100000" or "250000 100000".
double quota_v2(const fs::path& folder) {
  std::istringstream in(read_small_file(folder / "cpu.max").bytes);
  double quota = 0;
  double period = 0;
  return in >> quota >> period && period > 0 ? quota / period : kNoQuota;
}

double quota_v1(const fs::path& folder) {
  std::istringstream quota_file(read_small_file(folder / "cpu.cfs_quota_us").bytes);
  std::istringstream period_file(read_small_file(folder / "cpu.cfs_period_us").bytes);
  double quota = 0;
  double period = 0;
  return quota_file >> quota && period_file >> period && quota > 0 && period > 0 ? quota / period : kNoQuota;
}

// The tightest quota from `path` up to the mount point. In a container the path may be the host's, and then only the
// mount point is there.
template <typename Quota>
double tightest(const fs::path& mount, const std::string& path, Quota quota_of) {
  double tightest_quota = quota_of(mount);
  for (fs::path folder = fs::path(path).relative_path(); !folder.empty(); folder = folder.parent_path()) {
    tightest_quota = std::min(tightest_quota, quota_of(mount / folder));
  }
  return tightest_quota;
}

double cgroup_quota() {
  double quota = kNoQuota;
  std::istringstream in(read_small_file("/proc/self/cgroup").bytes);
  for (std::string line; std::getline(in, line);) {  // "4:cpu,cpuacct:/path" or "0::/path"
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") quota = std::min(quota, tightest("/sys/fs/cgroup", path, quota_v2));
    if (controllers.find(",cpu,") != std::string::npos)
      quota = std::min(quota, tightest("/sys/fs/cgroup/cpu", path, quota_v1));
  }
  return quota;
}

}  // namespace

std::vector<int> allowed_cpus() {
  std::vector<int> allowed;
  // A machine may have more CPUs than cpu_set_t holds; the kernel then refuses the smaller mask.
  for (size_t cpus = CPU_SETSIZE; cpus <= (size_t{1} << 20); cpus *= 2) {
    std::vector<cpu_set_t> mask(CPU_ALLOC_SIZE(cpus) / sizeof(cpu_set_t));
    const size_t bytes = mask.size() * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, mask.data()) != 0) continue;
    for (size_t cpu = 0; cpu < cpus; ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, mask.data())) allowed.push_back(static_cast<int>(cpu));
    }
    return allowed;
  }
  for (unsigned cpu = 0; cpu < std::max(std::thread::hardware_concurrency(), 1U); ++cpu) {
    allowed.push_back(static_cast<int>(cpu));
  }
  return allowed;
}

int usable_cores() {
  const int cores = std::max(static_cast<int>(allowed_cpus().size()), 1);
  const double quota = std::ceil(cgroup_quota());
  return quota < cores ? std::max(static_cast<int>(quota), 1) : cores;
}

}  // namespace ferrun
