#include "bench/store_server_process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>

namespace ferrun::bench {
namespace {

namespace fs = std::filesystem;

void for_each_task(pid_t pid, const std::function<void(const fs::path&)>& see) {
  for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task")) see(task.path());
}

void for_each_child(pid_t pid, const std::function<void(pid_t)>& see) {
  for_each_task(pid, [&](const fs::path& task) {
    std::ifstream children(task / "children");
    for (pid_t child = 0; children >> child;) see(child);
  });
}

double tree_cpu_us(pid_t pid) {
  double total = 0;
  for_each_task(pid, [&](const fs::path& task) {
    double on_cpu_ns = 0;
    std::ifstream(task / "schedstat") >> on_cpu_ns;
    total += on_cpu_ns / 1e3;
  });
  for_each_child(pid, [&](pid_t child) { total += tree_cpu_us(child); });
  return total;
}

size_t tree_memory(pid_t pid) {
  size_t kib = 0;
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    if (word == "RssAnon:") status >> kib;
  }
  size_t total = kib * 1024;
  for_each_child(pid, [&](pid_t child) { total += tree_memory(child); });
  return total;
}

}  // namespace

StoreServerProcess::StoreServerProcess(std::vector<std::string> command) {
  int input[2], output[2];
  if (::pipe(input) != 0 || ::pipe(output) != 0) throw std::runtime_error("pipe failed");
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(input[0], STDIN_FILENO);
    ::dup2(output[1], STDOUT_FILENO);
    for (const int fd : {input[0], input[1], output[0], output[1]}) ::close(fd);
    std::vector<char*> arguments;
    for (std::string& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(input[0]);
  ::close(output[1]);
  input_ = input[1];
  FILE* lines = ::fdopen(output[0], "r");
  unsigned port = 0;
  const bool told = std::fscanf(lines, "port %u", &port) == 1;
  std::fclose(lines);
  if (!told) throw std::runtime_error("no port from " + command[0]);
  port_ = static_cast<uint16_t>(port);
}

StoreServerProcess::~StoreServerProcess() {
  ::close(input_);
  ::waitpid(pid_, nullptr, 0);
}

double StoreServerProcess::cpu_us() const { return tree_cpu_us(pid_); }
size_t StoreServerProcess::memory_bytes() const { return tree_memory(pid_); }

std::vector<std::string> ferrun_as_store(const std::string& bin_dir) {
  return {bin_dir + "/ferrun",
          "--nproc-per-node=1",
          "--no-python",
          "/bin/sh",
          "-c",
          "echo port $MASTER_PORT; exec cat > /dev/null"};
}

}  // namespace ferrun::bench
