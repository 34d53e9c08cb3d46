#include "tests/process/probe_actions.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "common/exit_status.h"
#include "common/io/write_all.h"

namespace ferrun::probe {
namespace {

using Operands = const std::string*;  // the arguments after the action's name

struct Action {
  size_t operand_count;
  std::function<void(Operands)> run;
};

int number(const std::string& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) throw std::invalid_argument("not a number: " + text);
  return value;
}

int signal_of(const std::string& text) {
  const int named = signal_number(text);
  return named != 0 ? named : number(text);
}

void sleep_seconds(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

[[noreturn]] void sleep_forever() {
  for (;;) pause();
}

void write_pid(const std::string& path) {
  const std::string draft = path + ".draft";
  std::ofstream(draft) << getpid() << '\n';
  std::rename(draft.c_str(), path.c_str());
}

void append_line(const std::string& path, const std::string& line) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  write_all(fd, line + '\n');
  close(fd);
}

void flood(int fd, int lines, int width) {
  std::string batch;
  for (int line = 0; line < lines; ++line) {
    char index[16];
    std::snprintf(index, sizeof index, "%010d ", line);
    batch.append(index).append(static_cast<size_t>(std::max(0, width - 11)), 'x').push_back('\n');
    if (batch.size() > 60000 || line + 1 == lines) {
      write_all(fd, batch);
      batch.clear();
    }
  }
}

void print_environment() {
  for (char** variable = environ; *variable != nullptr; ++variable) std::cout << *variable << '\n';
  std::cout.flush();
}

void print_descriptors() {
  std::set<int> fds;
  DIR* directory = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') fds.insert(number(entry->d_name));
  }
  fds.erase(dirfd(directory));
  closedir(directory);
  std::ostringstream line;
  for (const int fd : fds) line << (fd == *fds.begin() ? "" : " ") << fd;
  write_all(STDOUT_FILENO, line.str() + '\n');
}

void print_signals() {
  std::ifstream status("/proc/self/status");
  std::string name, value;
  std::map<std::string, std::string> fields;
  while (status >> name && std::getline(status >> std::ws, value)) fields[name] = value;
  write_all(STDOUT_FILENO,
            "blocked=" + fields["SigBlk:"] + " ignored=" + fields["SigIgn:"] + " caught=" + fields["SigCgt:"] + '\n');
}

void print_ids() {
  int death_signal = 0;
  prctl(PR_GET_PDEATHSIG, &death_signal);
  std::ostringstream line;
  line << "pid=" << getpid() << " ppid=" << getppid() << " pgid=" << getpgrp() << " sid=" << getsid(0)
       << " pdeathsig=" << death_signal << '\n';
  write_all(STDOUT_FILENO, line.str());
}

void print_cpus() {
  cpu_set_t set;
  sched_getaffinity(0, sizeof set, &set);
  std::ostringstream line;
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) line << (line.tellp() > 0 ? " " : "") << cpu;
  }
  write_all(STDOUT_FILENO, line.str() + '\n');
}

// "none", or "prefer 0".
void print_memory_policy() {
  int policy = MPOL_DEFAULT;
  std::array<unsigned long, 16> nodes = {};
  std::ostringstream line;
  if (syscall(SYS_get_mempolicy, &policy, nodes.data(), 8 * sizeof nodes, nullptr, 0UL) != 0) {
    line << "not told";
  } else if (policy == MPOL_PREFERRED) {
    line << "prefer";
    for (size_t node = 0; node < 8 * sizeof nodes; ++node) {
      if ((nodes[node / 64] >> node % 64 & 1) != 0) line << ' ' << node;
    }
  } else {
    line << (policy == MPOL_DEFAULT ? "none" : "another");
  }
  write_all(STDOUT_FILENO, line.str() + '\n');
}

void print_open_files() {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  write_all(STDOUT_FILENO, std::to_string(limit.rlim_cur) + '\n');
}

void start_grandchild(const std::string& kind) {
  const bool own_session = kind.starts_with("setsid");
  const bool orphan = kind.ends_with("double");
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  const pid_t child = fork();
  if (child == 0) {
    if (own_session) setsid();
    if (orphan && fork() != 0) _exit(0);
    write_all(ready[1], "!");
    close(ready[1]);
    sleep_forever();
  }
  close(ready[1]);
  char byte;
  if (read(ready[0], &byte, 1) != 1) throw std::runtime_error("the grandchild did not start");
  close(ready[0]);
  if (orphan) waitpid(child, nullptr, 0);
}

void write_error_file(const std::string& message) {
  const char* path = std::getenv("TORCHELASTIC_ERROR_FILE");
  if (path == nullptr) return;
  std::ofstream(path) << "{\"message\": \"" << message << "\", \"timestamp\": " << std::time(nullptr) << "}\n";
}

void wait_for_file(const std::string& path) {
  while (access(path.c_str(), F_OK) != 0) sleep_seconds(0.002);
}

bool variable_is(const char* name, const std::string& value) {
  const char* held = std::getenv(name);
  return held != nullptr && value == held;
}

std::map<std::string, Action> actions(const std::vector<std::string>& arguments) {
  return {
      {"exit", {1, [](Operands o) { std::exit(number(o[0])); }}},
      {"raise", {1, [](Operands o) { kill(getpid(), signal_of(o[0])); }}},
      {"ignore", {1, [](Operands o) { std::signal(signal_of(o[0]), SIG_IGN); }}},
      {"sleep", {1, [](Operands o) { sleep_seconds(std::stod(o[0])); }}},
      {"forever", {0, [](Operands) { sleep_forever(); }}},
      {"wait-file", {1, [](Operands o) { wait_for_file(o[0]); }}},
      {"touch", {1, [](Operands o) { std::ofstream(o[0]).flush(); }}},
      {"append", {2, [](Operands o) { append_line(o[0], o[1]); }}},
      {"pid", {1, [](Operands o) { write_pid(o[0]); }}},
      {"out", {1, [](Operands o) { write_all(STDOUT_FILENO, o[0] + '\n'); }}},
      {"out-raw", {1, [](Operands o) { write_all(STDOUT_FILENO, o[0]); }}},
      {"err", {1, [](Operands o) { write_all(STDERR_FILENO, o[0] + '\n'); }}},
      {"flood-out", {2, [](Operands o) { flood(STDOUT_FILENO, number(o[0]), number(o[1])); }}},
      {"flood-err", {2, [](Operands o) { flood(STDERR_FILENO, number(o[0]), number(o[1])); }}},
      {"env",
       {1,
        [](Operands o) {
          const char* value = std::getenv(o[0].c_str());
          write_all(STDOUT_FILENO, o[0] + (value != nullptr ? "=" + std::string(value) : " unset") + '\n');
        }}},
      {"env-all", {0, [](Operands) { print_environment(); }}},
      {"args",
       {0,
        [&arguments](Operands) {
          for (const std::string& argument : arguments) write_all(STDOUT_FILENO, argument + '\n');
        }}},
      {"fds", {0, [](Operands) { print_descriptors(); }}},
      {"signals", {0, [](Operands) { print_signals(); }}},
      {"ids", {0, [](Operands) { print_ids(); }}},
      {"cpus", {0, [](Operands) { print_cpus(); }}},
      {"memory-policy", {0, [](Operands) { print_memory_policy(); }}},
      {"open-files", {0, [](Operands) { print_open_files(); }}},
      {"child", {1, [](Operands o) { start_grandchild(o[0]); }}},
      {"error-file", {1, [](Operands o) { write_error_file(o[0]); }}},
  };
}

}  // namespace

int perform(const std::vector<std::string>& arguments) {
  const auto known = actions(arguments);
  bool meant = true;
  for (size_t at = 0; at < arguments.size();) {
    if (at + 1 < arguments.size() && (arguments[at] == "only-rank" || arguments[at] == "only-attempt")) {
      meant =
          meant && variable_is(arguments[at] == "only-rank" ? "RANK" : "TORCHELASTIC_RESTART_COUNT", arguments[at + 1]);
      at += 2;
      continue;
    }
    const auto action = known.find(arguments[at]);
    if (action == known.end() || at + action->second.operand_count >= arguments.size()) {
      std::cerr << "probe: no such action, or too few operands: " << arguments[at] << '\n';
      return 64;
    }
    if (meant) action->second.run(arguments.data() + at + 1);
    meant = true;
    at += 1 + action->second.operand_count;
  }
  return 0;
}

}  // namespace ferrun::probe
