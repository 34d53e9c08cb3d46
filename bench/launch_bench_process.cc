#include "bench/launch_bench_process.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

extern char** environ;

namespace ferrun::bench {
namespace {

// A launcher that hangs is asked to end after so long, and made to soon after.
constexpr int kPatienceMs = 60'000;
constexpr int kGraceMs = 10'000;

void end_when_it_hangs(pid_t pid) {
  pollfd ended = {static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), POLLIN, 0};
  if (ended.fd < 0) return;
  if (poll(&ended, 1, kPatienceMs) == 0) {
    kill(pid, SIGTERM);
    if (poll(&ended, 1, kGraceMs) == 0) kill(pid, SIGKILL);
  }
  close(ended.fd);
}

}  // namespace

long long now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<long long>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

pid_t start(const Command& command) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error("cannot start " + command[0]);
  return pid;
}

Ended wait_for(pid_t pid, long long started_ns) {
  end_when_it_hangs(pid);
  int status = 0;
  rusage usage{};
  wait4(pid, &status, 0, &usage);
  Ended ended;
  ended.at_ns = now_ns();
  ended.milliseconds = static_cast<double>(ended.at_ns - started_ns) / 1e6;
  ended.success = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  ended.peak_mb = static_cast<double>(usage.ru_maxrss) * 1024 / 1e6;
  return ended;
}

Ended run(const Command& command) {
  const long long started = now_ns();
  return wait_for(start(command), started);
}

namespace {

// "VmRSS:     1234 kB" of /proc/PID/status, in MB.
double status_megabytes(const std::string& status, const std::string& field) {
  const size_t at = status.find(field + ":");
  return at == std::string::npos ? 0 : std::stod(status.substr(at + field.size() + 1)) * 1024 / 1e6;
}

std::string read_all(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

std::vector<ProcessMemory> process_tree(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  const std::string status = read_all(folder + "/status");
  std::string name = read_all(folder + "/comm");
  if (!name.empty()) name.pop_back();
  std::vector<ProcessMemory> tree = {{name, pid, status_megabytes(status, "VmRSS")}};
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator(folder + "/task", gone)) {
    std::istringstream children(read_all(task.path().string() + "/children"));
    for (pid_t child = 0; children >> child;) {
      for (ProcessMemory& below : process_tree(child)) tree.push_back(std::move(below));
    }
  }
  return tree;
}

int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("cannot find a free port");
  }
  close(fd);
  return ntohs(address.sin_port);
}

std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string candidate = folder;
    candidate += "/" + name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

}  // namespace ferrun::bench
