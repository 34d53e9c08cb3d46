#include "tests/net/pod.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/net/commands.h"

namespace ferrun::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUser = "70001";

// sh -c SCRIPT sh NAME VOLUME PROGRAMS HOSTS SCRATCH MEMORY_GROUP VARIABLE=VALUE... COMMAND...
constexpr const char* kContainer = R"(set -eu
name=$1 volume=$2 programs=$3 hosts=$4 scratch=$5 memory=$6; shift 6
if [ -n "$memory" ]; then echo 0 >"$memory/cgroup.procs"; fi
hostname "$name"
root=$volume/root
mkdir -p "$root"
mount -t tmpfs -o mode=755 root "$root"
cd "$root"
mkdir usr etc dev proc tmp data opt dev/shm sys sys/fs sys/fs/cgroup sys/fs/cgroup/memory
for folder in bin sbin lib lib64; do
  if [ -L /$folder ]; then cp -P /$folder .; elif [ -d /$folder ]; then mkdir $folder; mount --bind /$folder $folder; fi
done
mount --bind /usr usr
mount -o remount,bind,ro usr
mount --bind "$programs" opt
mount -o remount,bind,ro opt
mount --bind "$volume" data
mount -t proc proc proc
for device in null zero random urandom; do : >dev/$device; mount --bind /dev/$device dev/$device; done
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777,size=16m shared dev/shm
: >dev/termination-log
mount --bind "$volume/termination-log" dev/termination-log
echo 'root:x:0:0::/:/bin/sh' >etc/passwd
: >etc/hosts
mount --bind "$hosts" etc/hosts
echo 'hosts: files' >etc/nsswitch.conf
if [ -n "$scratch" ]; then mount -t tmpfs -o mode=1777 scratch tmp; fi
if [ -n "$memory" ]; then mount --bind "$memory" sys/fs/cgroup/memory; fi
mount -o remount,ro "$root"
exec chroot . setpriv --reuid=70001 --regid=70001 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all env -i "$@"
)";

std::vector<std::string> container(const std::string& volume, const PodNames& names, const std::string& name,
                                   const std::vector<std::string>& arguments, HostProgram::Variables variables,
                                   const PodOptions& options) {
  variables.insert({{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                    {"HOSTNAME", name},
                    {"KUBERNETES_SERVICE_HOST", "10.96.0.1"},
                    {"OMP_NUM_THREADS", "1"}});
  for (const char* sanitizer : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"}) {
    if (const char* value = std::getenv(sanitizer)) variables.insert({sanitizer, value});
  }
  std::vector<std::string> words = {"/usr/bin/unshare",
                                    "--pid",
                                    "--fork",
                                    "--mount",
                                    "--uts",
                                    "--kill-child",
                                    "/bin/sh",
                                    "-c",
                                    kContainer,
                                    "sh",
                                    name,
                                    volume,
                                    FERRUN_BIN_DIR,
                                    names.path(),
                                    options.scratch ? "yes" : "",
                                    options.memory_group};
  for (const auto& [variable, value] : variables) words.push_back(variable + "=" + value);
  words.emplace_back("/opt/ferrun");
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

bool maps_other_users() {
  std::ifstream in("/proc/self/uid_map");
  unsigned long inside = 0, outside = 0, count = 0;
  in >> inside >> outside >> count;
  return count > std::stoul(kUser);
}

// This process's own group of the controller, below which another can be made. Empty where the first version's
// hierarchy is not there.
std::string own_memory_group() {
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t at = line.find(":memory:");
    if (at != std::string::npos) return "/sys/fs/cgroup/memory" + line.substr(at + 8);
  }
  return {};
}

}  // namespace

MemoryGroup::MemoryGroup(size_t mebibytes) {
  const std::string own = own_memory_group();
  path_ = own + "/ferrun-pod-" + std::to_string(getpid());
  std::error_code error;
  if (own.empty() || !fs::create_directory(path_, error)) {
    problem_ = "no group of the memory controller (cgroup v1) can be made here";
    return;
  }
  const std::string bytes = std::to_string(mebibytes << 20);
  std::ofstream limit(path_ + "/memory.limit_in_bytes");
  if (!(limit << bytes << std::flush)) problem_ = "no limit can be set in " + path_;
  std::ofstream(path_ + "/memory.memsw.limit_in_bytes") << bytes;
}

// Empty by then: its processes have ended.
MemoryGroup::~MemoryGroup() { rmdir(path_.c_str()); }

PodNames::PodNames() {
  fs::permissions(directory_.path(), fs::perms(0755));
  std::ofstream(path()) << "127.0.0.1 localhost\n";
}

void PodNames::publish(const std::string& name, int host, const std::string& service) {
  lines_[name] = TestNetwork::address(host) + "\t" + name + "." + service + "\t" + name + "\n";
  std::ofstream out(path());
  out << "127.0.0.1\tlocalhost\n";
  for (const auto& [ignored, line] : lines_) out << line;
}

Pod::Pod(const TestNetwork& network, int host, const PodNames& names, const std::string& name,
         const std::vector<std::string>& arguments, const HostProgram::Variables& variables, const PodOptions& options)
    : program_(network, host, container(prepare(), names, name, arguments, variables, options), "/") {}

// The volume's own path.
std::string Pod::prepare() const {
  fs::permissions(volume_.path(), fs::perms(0777));
  std::ofstream(volume_.file("termination-log")).flush();
  fs::permissions(volume_.file("termination-log"), fs::perms(0666));
  return volume_.path();
}

void Pod::send(int signal) const {
  const std::vector<pid_t> below = program_.descendants();
  if (!below.empty()) ::kill(below.front(), signal);
}

std::string Pod::read(const std::string& name) const {
  std::ostringstream text;
  text << std::ifstream(volume_.file(name)).rdbuf();
  return text.str();
}

std::string pod_problem() {
  if (const std::string problem = network_problem(); !problem.empty()) return problem;
  if (!maps_other_users()) return "no root here, which alone can give a process another user";
  for (const char* program : {"unshare", "setpriv"}) {
    if (!has_program(program)) return std::string("no program '") + program + "' (package util-linux)";
  }
  return {};
}

}  // namespace ferrun::testing
