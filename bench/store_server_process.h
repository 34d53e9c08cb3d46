// A store's server in a process of its own, for the programs that compare servers.
//
// Ownership: ends the process. Thread rule: one thread.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ferrun::bench {

class StoreServerProcess {
 public:
  // `command` prints "port N" and runs until its standard input ends. Throws when it does not.
  explicit StoreServerProcess(std::vector<std::string> command);
  ~StoreServerProcess();
  StoreServerProcess(const StoreServerProcess&) = delete;
  StoreServerProcess& operator=(const StoreServerProcess&) = delete;

  uint16_t port() const { return port_; }

  // Processor time of all its threads until now, and of its children's (ferrun's agent is one), in microseconds.
  double cpu_us() const;
  // Memory of its own that it and its children hold now.
  size_t memory_bytes() const;

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  uint16_t port_ = 0;
};

// ferrun with one worker, which waits.
std::vector<std::string> ferrun_as_store(const std::string& bin_dir);

}  // namespace ferrun::bench
