// What launch_bench needs of the operating system: run a program and time it, look at the processes below it.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ferrun::bench {

using Command = std::vector<std::string>;

// CLOCK_MONOTONIC in nanoseconds, as the workers write it.
long long now_ns();

// Starts `command` with stdin, stdout and stderr at /dev/null; argv[0] is looked up in PATH. Throws when it cannot
// start.
pid_t start(const Command& command);

struct Ended {
  double milliseconds = 0;  // from just before the start until the end was seen
  long long at_ns = 0;
  bool success = false;
  double peak_mb = 0;  // resident memory of the largest process in its tree, MB = 10^6 bytes
};

// One that hangs is ended after a minute.
Ended run(const Command& command);
Ended wait_for(pid_t pid, long long started_ns);

struct ProcessMemory {
  std::string name;  // as the kernel knows it
  pid_t pid = 0;
  double resident_mb = 0;
};

// `pid` and everything below it.
std::vector<ProcessMemory> process_tree(pid_t pid);

// A TCP port that nobody uses now.
int free_port();

// The path of a program in PATH, or empty.
std::string find_program(const std::string& name);

}  // namespace ferrun::bench
